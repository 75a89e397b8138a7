#include "dist/communicator.h"

#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/rank_page.h"

namespace vesalius::dist {
namespace {

// Host values through the memory that `comm` communicates from.
void AllReduceHost(Communicator& comm, std::string_view name, void* values, std::size_t count,
                   DType type, CallSite site) {
  const std::size_t bytes = count * SizeOf(type);
  const auto buffer = comm.Allocate(bytes);
  comm.FromHost(buffer.get(), values, bytes);
  comm.AllReduceNow(name, buffer.get(), static_cast<std::int64_t>(count), type, site);
  comm.ToHost(values, buffer.get(), bytes);
}

}  // namespace

std::size_t SizeOf(DType type) {
  switch (type) {
    case DType::kFloat64:
    case DType::kInt64:
      return 8;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kBFloat16:
      return 2;
    case DType::kUInt8:
      return 1;
  }
  Fail(ExitCode::kBug, "internal error: unknown data type");
}

void Ticket::Wait() {
  if (!work_) return;
  const page::Waiting waiting(number_);
  const auto start = std::chrono::steady_clock::now();
  work_->Wait();
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - start;
  seconds_exposed_ += waited.count();
  if (meter_) meter_->Add(kind_, {.seconds_exposed = waited.count()});
}

void Communicator::AllReduceNow(std::string_view name, void* data, std::int64_t count, DType type,
                                CallSite site) {
  AllReduce(name, data, count, type, site).Wait();
}

void Communicator::FromHost(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Communicator::ToHost(void* to, const void* from, std::size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void AllReduceNow(Communicator& comm, std::string_view name, std::span<double> values,
                  CallSite site) {
  AllReduceHost(comm, name, values.data(), values.size(), DType::kFloat64, site);
}

void AllReduceNow(Communicator& comm, std::string_view name, std::span<std::int64_t> values,
                  CallSite site) {
  AllReduceHost(comm, name, values.data(), values.size(), DType::kInt64, site);
}

std::vector<std::string> AllGatherBytes(Communicator& comm, std::string_view name,
                                        std::string_view mine, CallSite site) {
  const auto length = static_cast<std::int64_t>(mine.size());
  std::vector<std::int64_t> lengths(comm.size());
  const auto own = comm.Allocate(sizeof(length)), every = comm.Allocate(8 * lengths.size());
  comm.FromHost(own.get(), &length, sizeof(length));
  comm.AllGather(name, own.get(), every.get(), std::vector<std::int64_t>(lengths.size(), 1),
                 DType::kInt64, site)
      .Wait();
  comm.ToHost(lengths.data(), every.get(), 8 * lengths.size());
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});

  const auto in = comm.Allocate(mine.size());
  const auto out = comm.Allocate(static_cast<std::size_t>(total));
  comm.FromHost(in.get(), mine.data(), mine.size());
  comm.AllGather(name, in.get(), out.get(), lengths, DType::kUInt8, site).Wait();
  std::string all(static_cast<std::size_t>(total), '\0');
  comm.ToHost(all.data(), out.get(), all.size());

  std::vector<std::string> result;
  std::size_t start = 0;
  for (std::int64_t length : lengths) {
    result.push_back(all.substr(start, static_cast<std::size_t>(length)));
    start += static_cast<std::size_t>(length);
  }
  return result;
}

std::string BroadcastBytes(Communicator& comm, std::string_view name, std::string_view content,
                           CallSite site) {
  std::int64_t length = comm.rank() == 0 ? static_cast<std::int64_t>(content.size()) : 0;
  AllReduceNow(comm, name, std::span(&length, 1), site);
  const auto buffer = comm.Allocate(static_cast<std::size_t>(length));
  if (comm.rank() == 0) comm.FromHost(buffer.get(), content.data(), content.size());
  comm.Broadcast(name, buffer.get(), length, DType::kUInt8, 0, site).Wait();
  std::string result(static_cast<std::size_t>(length), '\0');
  comm.ToHost(result.data(), buffer.get(), result.size());
  return result;
}

}  // namespace vesalius::dist
