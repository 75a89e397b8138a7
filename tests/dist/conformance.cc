#include "tests/dist/conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace vesalius::dist {
namespace {

template <typename T>
constexpr DType kType = DType::kUInt8;
template <>
constexpr DType kType<float> = DType::kFloat32;
template <>
constexpr DType kType<double> = DType::kFloat64;
template <>
constexpr DType kType<std::int32_t> = DType::kInt32;
template <>
constexpr DType kType<std::int64_t> = DType::kInt64;

template <typename T>
class Buffer {
 public:
  Buffer(Communicator& comm, const std::vector<T>& values)
      : comm_(comm), size_(values.size()), memory_(comm.Allocate(size_ * sizeof(T))) {
    comm.FromHost(memory_.get(), values.data(), size_ * sizeof(T));
  }
  Buffer(Communicator& comm, std::size_t size) : Buffer(comm, std::vector<T>(size)) {}
  void* data() { return memory_.get(); }
  std::vector<T> values() const {
    std::vector<T> result(size_);
    comm_.ToHost(result.data(), memory_.get(), size_ * sizeof(T));
    return result;
  }

 private:
  Communicator& comm_;
  std::size_t size_;
  std::shared_ptr<void> memory_;
};

// What rank r holds: values whose sum depends on the order of adding when `rounding`, else small
// integers.
template <typename T>
std::vector<T> Values(int rank, std::int64_t count, bool rounding, int salt = 0) {
  Random random(17, Purpose::kTest, rank, salt);
  std::vector<T> values(count);
  for (T& value : values) {
    value = rounding ? static_cast<T>(random.Normal() * std::exp(8 * random.Normal()))
                     : static_cast<T>(random.Below(20));
  }
  return values;
}

// Inside each node in rank order, then over the nodes; `step` is applied to the sum of each.
template <typename T, typename Step>
std::vector<T> SumByNode(const Communicator& comm, const std::vector<std::vector<T>>& values,
                         const Step& step) {
  const Topology& topology = comm.topology();
  std::vector<std::vector<T>> nodes(topology.node_count);
  for (int r = 0; r < comm.size(); ++r) {
    std::vector<T>& sum = nodes[topology.node_of[r]];
    if (sum.empty()) {
      sum = values[r];
    } else {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[r][i];
    }
  }
  std::vector<T> sum;
  for (std::vector<T>& node : nodes) {
    for (T& value : node) value = step(value);
    if (sum.empty()) sum.resize(node.size(), T{});
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += node[i];
  }
  return sum;
}

template <typename T>
std::vector<T> SumInOrder(const Communicator& comm, std::int64_t count, bool rounding,
                          int salt = 0) {
  std::vector<std::vector<T>> values;
  for (int r = 0; r < comm.size(); ++r) values.push_back(Values<T>(r, count, rounding, salt));
  return SumByNode<T>(comm, values, [](T value) { return value; });
}

template <typename T>
void AllReduces(Communicator& comm, bool rounding) {
  for (std::int64_t count : {0, 1, 3, 100, 4099, 70001}) {
    SCOPED_TRACE(count);
    Buffer<T> data(comm, Values<T>(comm.rank(), count, rounding));
    comm.AllReduce("sum", data.data(), count, kType<T>).Wait();
    EXPECT_EQ(data.values(), SumInOrder<T>(comm, count, rounding));
  }
}

// The nearest bfloat16 near 256, where its steps are 2 and ties go to even.
float RoundedNear256(float value) { return value < 256 ? value : 2 * std::nearbyint(value / 2); }

// Sums in float32, rounded once a level: 256 + 1 + 1 is 258, but 256 when every step rounds.
void BFloat16Sums(Communicator& comm) {
  std::vector<std::vector<float>> values(comm.size(), {1.f});
  values[0] = {256.f};
  const float mine = values[comm.rank()][0];
  const auto bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(mine) >> 16);
  Buffer<std::uint16_t> data(comm, std::vector<std::uint16_t>(5, bits));
  comm.AllReduce("bfloat16 sum", data.data(), 5, DType::kBFloat16).Wait();
  const float expected = RoundedNear256(SumByNode<float>(comm, values, RoundedNear256)[0]);
  for (std::uint16_t value : data.values()) {
    EXPECT_EQ(std::bit_cast<float>(std::uint32_t{value} << 16), expected);
  }
}

// Buckets in the middle of one large allocation, as the gradient arena has them.
void ArenaSums(Communicator& comm, bool rounding) {
  constexpr std::int64_t kBucket = 50'001;
  std::vector<float> values = Values<float>(comm.rank(), 3 * kBucket, rounding, 5);
  Buffer<float> arena(comm, values);
  const std::vector<float> sum = SumInOrder<float>(comm, 3 * kBucket, rounding, 5);
  std::vector<Ticket> tickets;
  for (int b : {0, 2}) {
    tickets.push_back(comm.AllReduce("bucket", static_cast<float*>(arena.data()) + b * kBucket,
                                     kBucket, DType::kFloat32));
  }
  for (Ticket& ticket : tickets) ticket.Wait();
  std::copy(sum.begin(), sum.begin() + kBucket, values.begin());
  std::copy(sum.begin() + 2 * kBucket, sum.end(), values.begin() + 2 * kBucket);
  EXPECT_EQ(arena.values(), values);
}

std::vector<std::int64_t> UnequalCounts(int size, std::int64_t unit) {
  std::vector<std::int64_t> counts;
  for (int r = 0; r < size; ++r) counts.push_back(r == 1 ? 0 : (r + 1) * unit);
  return counts;
}

void AllGathers(Communicator& comm) {
  for (std::int64_t unit : {1, 1000, 30000}) {
    const auto counts = UnequalCounts(comm.size(), unit);
    const auto total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    std::vector<float> expected;
    for (int r = 0; r < comm.size(); ++r) {
      const auto part = Values<float>(r, counts[r], true);
      expected.insert(expected.end(), part.begin(), part.end());
    }
    Buffer<float> in(comm, Values<float>(comm.rank(), counts[comm.rank()], true));
    Buffer<float> out(comm, static_cast<std::size_t>(total));
    comm.AllGather("rows", in.data(), out.data(), counts, DType::kFloat32).Wait();
    EXPECT_EQ(out.values(), expected);
  }
}

template <typename T>
void ReduceScatters(Communicator& comm, bool rounding) {
  for (std::int64_t unit : {1, 1000, 30000}) {
    const auto counts = UnequalCounts(comm.size(), unit);
    const auto total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    const auto sum = SumInOrder<T>(comm, total, rounding);
    const auto start =
        std::accumulate(counts.begin(), counts.begin() + comm.rank(), std::int64_t{0});
    Buffer<T> in(comm, Values<T>(comm.rank(), total, rounding));
    Buffer<T> out(comm, static_cast<std::size_t>(counts[comm.rank()]));
    comm.ReduceScatter("slices", in.data(), out.data(), counts, kType<T>).Wait();
    EXPECT_EQ(out.values(),
              std::vector<T>(sum.begin() + start, sum.begin() + start + counts[comm.rank()]));
  }
}

// Both where the rank's own part is input and output.
void InPlaceParts(Communicator& comm, bool rounding) {
  for (std::int64_t unit : {10, 30'000}) {
    const auto counts = UnequalCounts(comm.size(), unit);
    const auto total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    const auto start =
        std::accumulate(counts.begin(), counts.begin() + comm.rank(), std::int64_t{0});
    const auto sum = SumInOrder<float>(comm, total, rounding);
    Buffer<float> data(comm, Values<float>(comm.rank(), total, rounding));
    float* mine = static_cast<float*>(data.data()) + start;
    comm.ReduceScatter("own slice", data.data(), mine, counts, DType::kFloat32).Wait();
    comm.AllGather("own slice", mine, data.data(), counts, DType::kFloat32).Wait();
    EXPECT_EQ(data.values(), sum);
  }
}

void Broadcasts(Communicator& comm) {
  for (int root = 0; root < comm.size(); ++root) {
    for (std::int64_t count : {1, 50000}) {
      Buffer<double> data(comm, Values<double>(comm.rank(), count, true));
      comm.Broadcast("weights", data.data(), count, DType::kFloat64, root).Wait();
      EXPECT_EQ(data.values(), Values<double>(root, count, true));
    }
  }
}

// What rank `from` sends to rank `to`: also nothing, also to itself.
std::int64_t PairCount(int from, int to, std::int64_t unit) {
  return (2 * from + 3 * to) % 4 * unit + (from == to ? 1 : 0);
}

template <typename T>
std::vector<T> PairValues(int from, int to, std::int64_t count) {
  return Values<T>(from, count, false, 100 + to);
}

template <typename T>
void AllToAlls(Communicator& comm) {
  for (std::int64_t unit : {0, 1, 700, 40'000}) {
    SCOPED_TRACE(unit);
    std::vector<std::int64_t> send_counts, receive_counts;
    std::vector<T> sent, expected;
    for (int r = 0; r < comm.size(); ++r) {
      send_counts.push_back(PairCount(comm.rank(), r, unit));
      receive_counts.push_back(PairCount(r, comm.rank(), unit));
      const auto mine = PairValues<T>(comm.rank(), r, send_counts.back());
      const auto theirs = PairValues<T>(r, comm.rank(), receive_counts.back());
      sent.insert(sent.end(), mine.begin(), mine.end());
      expected.insert(expected.end(), theirs.begin(), theirs.end());
    }
    Buffer<T> in(comm, sent);
    Buffer<T> out(comm, expected.size());
    comm.AllToAll("letters", in.data(), send_counts, out.data(), receive_counts, kType<T>).Wait();
    EXPECT_EQ(out.values(), expected);
  }
}

// Rings both ways, a rank to itself, and a chain whose ends send or receive nothing.
void SendReceives(Communicator& comm) {
  const int n = comm.size();
  const int me = comm.rank();
  for (std::int64_t count : {1, 50'000}) {
    for (int hop : {1, n - 1, 0}) {
      const int to = (me + hop) % n;
      const int from = (me + n - hop) % n;
      Buffer<float> in(comm, Values<float>(me, count + me, true));
      Buffer<float> out(comm, static_cast<std::size_t>(count + from));
      comm.SendReceive("hop", in.data(), count + me, to, out.data(), count + from, from,
                       DType::kFloat32)
          .Wait();
      EXPECT_EQ(out.values(), Values<float>(from, count + from, true));
    }
    const int to = me + 1 < n ? me + 1 : -1;
    Buffer<float> in(comm, Values<float>(me, count, true));
    Buffer<float> out(comm, static_cast<std::size_t>(count));
    comm.SendReceive("chain", in.data(), count, to, out.data(), count, me - 1, DType::kFloat32)
        .Wait();
    EXPECT_EQ(out.values(),
              me > 0 ? Values<float>(me - 1, count, true) : std::vector<float>(count, 0));
  }
}

// Halves with sequences of their own, a part of a part, and ranks that stay out.
void Splits(Communicator& comm, bool rounding) {
  const auto parity = comm.Split("parity", comm.rank() % 2);
  ASSERT_EQ(parity->size(), (comm.size() + 1 - comm.rank() % 2) / 2);
  ASSERT_EQ(parity->rank(), comm.rank() / 2);
  EXPECT_EQ(static_cast<int>(parity->topology().node_of.size()), parity->size());
  for (int i = 0; i <= comm.rank() % 2; ++i) {  // not the same number in both halves
    std::int64_t sum = comm.rank();
    AllReduceNow(*parity, "part sum", std::span(&sum, 1));
    std::int64_t expected = 0;
    for (int r = comm.rank() % 2; r < comm.size(); r += 2) expected += r;
    EXPECT_EQ(sum, expected);
  }
  // Memory of the whole, used by a part and by the whole.
  constexpr std::int64_t kCount = 70'001;
  Buffer<float> data(comm, Values<float>(parity->rank(), kCount, rounding));
  parity->AllReduce("large part sum", data.data(), kCount, DType::kFloat32).Wait();
  EXPECT_EQ(data.values(), SumInOrder<float>(*parity, kCount, rounding));
  AllGathers(*parity);

  const auto last = comm.Split("last", comm.rank() == comm.size() - 1 ? 7 : -1);
  ASSERT_EQ(last != nullptr, comm.rank() == comm.size() - 1);
  if (last) {
    EXPECT_EQ(last->size(), 1);
    last->Barrier("alone").Wait();
  }
  const auto again = parity->Split("again", 0);
  ASSERT_EQ(again->size(), parity->size());
  SendReceives(*again);
  const std::int64_t before = comm.traffic().calls;
  again->Barrier("counts").Wait();
  EXPECT_EQ(comm.traffic().calls, before + 1);
}

// Tickets in flight together, waited for out of order.
void ManyInFlight(Communicator& comm, bool rounding) {
  std::vector<Buffer<float>> buffers;
  std::vector<Ticket> tickets;
  for (int i = 0; i < 20; ++i) {
    buffers.emplace_back(comm, Values<float>(comm.rank(), 1 + 400 * i, rounding, i));
    tickets.push_back(
        comm.AllReduce("bucket", buffers.back().data(), 1 + 400 * i, DType::kFloat32));
    if (i % 7 == 3) tickets.push_back(comm.Barrier("between"));
  }
  for (auto ticket = tickets.rbegin(); ticket != tickets.rend(); ++ticket) ticket->Wait();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(buffers[i].values(), SumInOrder<float>(comm, 1 + 400 * i, rounding, i));
  }
}

void Conveniences(Communicator& comm) {
  std::vector<double> values{1.0 * comm.rank(), 0.5};
  AllReduceNow(comm, "doubles", values);
  const double n = comm.size();
  EXPECT_THAT(values, testing::ElementsAre(n * (n - 1) / 2, 0.5 * n));
  std::int64_t big = std::int64_t{1} << 53;
  AllReduceNow(comm, "integers", std::span(&big, 1));
  EXPECT_EQ(big, comm.size() * (std::int64_t{1} << 53));

  const std::string mine(comm.rank() * 3, static_cast<char>('a' + comm.rank()));
  const auto all = AllGatherBytes(comm, "texts", mine);
  ASSERT_EQ(static_cast<int>(all.size()), comm.size());
  for (int r = 0; r < comm.size(); ++r) {
    EXPECT_EQ(all[r], std::string(r * 3, static_cast<char>('a' + r)));
  }
  EXPECT_EQ(BroadcastBytes(comm, "text", comm.rank() == 0 ? "hello" : "ignored"), "hello");
  EXPECT_EQ(BroadcastBytes(comm, "empty text", ""), "");
}

// By kind, as differences; waits are seen, and exposed waits are no longer than all waits.
void CountsTraffic(Communicator& comm) {
  const Traffic before = comm.traffic();
  const std::int64_t others = comm.size() - 1;
  std::vector<std::int64_t> counts(comm.size(), 5);
  Buffer<float> in(comm, std::vector<float>(5 * comm.size(), 1.f));
  Buffer<float> out(comm, 5 * comm.size());
  Ticket ticket = comm.AllToAll("counted", in.data(), counts, out.data(), counts, DType::kFloat32);
  ticket.Wait();
  comm.AllGather("counted", in.data(), out.data(), counts, DType::kFloat32).Wait();
  const Traffic after = comm.traffic() - before;
  EXPECT_EQ(after.calls, 2);
  EXPECT_EQ(after.of(Kind::kAllToAll).calls, 1);
  EXPECT_EQ(after.of(Kind::kAllToAll).bytes_sent, 5 * 4 * others);
  EXPECT_EQ(after.of(Kind::kAllGather).bytes_sent, 5 * 4 * others);
  EXPECT_EQ(after.bytes_sent, 2 * 5 * 4 * others);
  EXPECT_GT(ticket.seconds_exposed(), 0);
  EXPECT_GT(after.of(Kind::kAllToAll).seconds_exposed, 0);
  EXPECT_GT(after.of(Kind::kAllToAll).seconds, 0);
}

}  // namespace

void RunConformance(Communicator& comm, bool exact_order) {
  SCOPED_TRACE(testing::Message() << "rank " << comm.rank() << " of " << comm.size());
  const auto memory = comm.Allocate(1000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % 64, 0u);
  std::vector<char> content(1000, 'x');
  comm.ToHost(content.data(), memory.get(), content.size());
  EXPECT_EQ(content, std::vector<char>(1000, '\0'));

  AllReduces<float>(comm, exact_order);
  AllReduces<double>(comm, exact_order);
  AllReduces<std::int32_t>(comm, false);
  AllReduces<std::int64_t>(comm, false);
  AllReduces<std::uint8_t>(comm, false);
  if (exact_order) BFloat16Sums(comm);
  ArenaSums(comm, exact_order);
  AllGathers(comm);
  ReduceScatters<float>(comm, exact_order);
  ReduceScatters<double>(comm, exact_order);
  InPlaceParts(comm, exact_order);
  Broadcasts(comm);
  AllToAlls<float>(comm);
  AllToAlls<std::uint8_t>(comm);
  AllToAlls<std::int64_t>(comm);
  SendReceives(comm);
  Splits(comm, exact_order);
  ManyInFlight(comm, exact_order);
  Conveniences(comm);
  comm.Barrier("end").Wait();
  EXPECT_GT(comm.traffic().calls, 50);
  EXPECT_EQ(comm.traffic().bytes_sent > 0, comm.size() > 1);
  CountsTraffic(comm);
}

void ExpectMismatchIsNamed(Communicator& comm) {
  const bool odd = comm.rank() == 0;
  Buffer<float> data(comm, std::vector<float>(8, 1.f));
  try {
    comm.AllReduce(odd ? "loss" : "gradient", data.data(), odd ? 4 : 8, DType::kFloat32).Wait();
    ADD_FAILURE() << "rank " << comm.rank() << ": the mismatch was not noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBug) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr("'loss'"));
    EXPECT_THAT(error.what(), testing::HasSubstr("'gradient'"));
  }
}

}  // namespace vesalius::dist
