// `./run bench shuffle`: what the order of 20 million samples costs. Starting an epoch: all 4,096
// samples of its first step, against the shuffled list of others (Fisher-Yates).
// Resuming: from the bytes of a checkpoint at position 10 million to the next step. And the
// quality of 1,000 orders: how many are outside the 99 % band of truly random ones in the
// correlation of neighbours and in the chi-square of where samples come (docs/loader.md).
#include <chrono>
#include <fstream>
#include <functional>
#include <numeric>

#include "base/random.h"
#include "bench/harness.h"
#include "bench/order_quality.h"
#include "data/loader/schedule.h"

namespace vesalius::bench {
namespace {

constexpr int kRounds = 9, kKeys = 1000;
constexpr std::int64_t kSamples = 20'000'000, kPosition = 10'000'000, kBatch = 4096;

double Milliseconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

std::int64_t AnonymousBytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word)
    if (word == "RssAnon:" && status >> word) return std::stoll(word) * 1024;
  return 0;
}

// The samples of a whole step, over all ranks; their sum, so that nothing is left out.
std::int64_t PlanStep(data::LoaderState& state) {
  const data::Schedule schedule({kSamples}, {1}, 1, kBatch, data::Tail::kDrop);
  std::int64_t sum = 0;
  for (const data::Planned& planned : schedule.Next(state)) sum += planned.sample;
  return sum;
}

volatile std::int64_t sink;

double EpochMilliseconds() {
  static std::int64_t epoch = 0;
  data::LoaderState state;
  state.global_batch = kBatch;
  state.sources = {{"f00d", ++epoch, kSamples}};  // its last sample was the last step's
  return Milliseconds([&] { sink = PlanStep(state); });
}

double FisherYatesMilliseconds() {
  return Milliseconds([] {
    std::vector<std::int64_t> order(kSamples);
    std::iota(order.begin(), order.end(), 0);
    Random(1, Purpose::kShuffle).Shuffle(order);
    sink = order[0];
  });
}

double ResumeMilliseconds() {
  data::LoaderState state;
  state.global_batch = kBatch;
  state.samples = 3 * kSamples + kPosition;
  state.sources = {{"f00d", 3, kPosition}};
  const std::string stored = data::SerializeLoaderState(state);
  return Milliseconds([&] {
    data::LoaderState resumed = data::ParseLoaderState(stored);
    sink = PlanStep(resumed);
  });
}

void Body(Report& report) {
  const std::int64_t before = AnonymousBytes();
  const auto epoch = Interleave({{"ours", EpochMilliseconds}}, kRounds);
  const auto resume = Interleave({{"ours", ResumeMilliseconds}}, kRounds);
  const std::int64_t after = AnonymousBytes();
  report.Add("shuffle.epoch_ms", "ms", epoch.at("ours"));
  report.Add("shuffle.resume_ms", "ms", resume.at("ours"));
  report.Add("shuffle.bytes_per_sample", "bytes",
             {static_cast<double>(after - before) / static_cast<double>(kSamples)});
  report.Compare("shuffle.fisher_yates", "ms", epoch.at("ours"),
                 std::vector<double>(kRounds, FisherYatesMilliseconds()));
  const OrderQuality quality = MeasureOrders(kKeys);
  report.Add("shuffle.outside_correlation", "share", {quality.outside_correlation});
  report.Add("shuffle.outside_chi_square", "share", {quality.outside_chi_square});
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
