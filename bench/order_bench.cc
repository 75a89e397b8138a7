// `./run bench order`: CPU time that the order check costs a collective on one rank: taking the
// fingerprint of a request as training issues it, announcing it, and comparing it with the
// announcements of seven other ranks.
#include <time.h>

#include <vector>

#include "bench/harness.h"
#include "dist/fingerprint.h"
#include "dist/request.h"

namespace vesalius::bench {
namespace {

constexpr int kRounds = 7, kCalls = 200'000, kRanks = 8;

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double MicrosecondsOfACall(dist::Request& request) {
  std::vector<dist::Header> announced(kRanks);
  const double start = CpuSeconds();
  for (int call = 0; call < kCalls; ++call) {
    request.sequence = static_cast<std::uint64_t>(call);
    announced[0] = dist::HeaderOf(request);
    for (int r = 1; r < kRanks; ++r) announced[r].hash = announced[0].hash;
    asm volatile("" ::: "memory");  // the others' come from elsewhere
    for (int r = 1; r < kRanks; ++r) dist::RequireSame(announced[0], 0, announced[r], r);
  }
  return 1e6 * (CpuSeconds() - start) / kCalls;
}

void Body(Report& report) {
  dist::Request request;
  request.kind = dist::Kind::kReduceScatter;
  request.name = "gradient bucket 17 of 42";
  request.counts.assign(kRanks, 131'072);
  request.count = std::int64_t{kRanks} * 131'072;
  request.type = dist::DType::kFloat32;
  request.site = dist::CallSite::current();
  const auto figures =
      Interleave({{"ours", [&] { return MicrosecondsOfACall(request); }}}, kRounds);
  report.Add("order.microseconds", "us", figures.at("ours"));
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
