// The order check: random mismatches in kind, count, type, order, name and call site are all
// stopped on all ranks, with both calls, call sites and ranks named, soon after the last rank has
// arrived; ranks that stay away are named with what they did last. On the local backend and through
// shared memory (threads stand for processes there).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "dist/bootstrap.h"
#include "dist/bootstrap_kinds.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::dist {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Body = std::function<void(Communicator&)>;

// `body` on every rank, with communicators of local threads or of shared memory.
void OnRanks(bool local, int ranks, milliseconds deadline, const Body& body) {
  const auto run = [&](Bootstrap& bootstrap) {
    body(*bootstrap.MakeCommunicator(Device::kCpu, {.deadline = deadline}));
  };
  if (local) return RunLocalRanks(ranks, run);
  const TempDir folder;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back(
        [&, rank] { run(*MakeFileBootstrap(folder.path(), rank, ranks, milliseconds(20'000))); });
  }
  for (std::thread& thread : threads) thread.join();
}

// One collective as a test describes it.
struct Call {
  Kind kind = Kind::kAllReduce;
  std::string name = "step";
  std::int64_t count = 64;
  DType type = DType::kFloat32;
};

void Issue(Communicator& comm, const Call& call, char* in, char* out) {
  const std::vector<std::int64_t> counts(comm.size(), call.count);
  const int n = comm.size();
  const auto ticket = [&]() -> Ticket {
    switch (call.kind) {
      case Kind::kAllReduce:
        return comm.AllReduce(call.name, in, call.count, call.type);
      case Kind::kAllGather:
        return comm.AllGather(call.name, in, out, counts, call.type);
      case Kind::kReduceScatter:
        return comm.ReduceScatter(call.name, in, out, counts, call.type);
      case Kind::kBroadcast:
        return comm.Broadcast(call.name, in, call.count, call.type, 0);
      case Kind::kAllToAll:
        return comm.AllToAll(call.name, in, counts, out, counts, call.type);
      case Kind::kSendReceive:
        return comm.SendReceive(call.name, in, call.count, (comm.rank() + 1) % n, out, call.count,
                                (comm.rank() + n - 1) % n, call.type);
      case Kind::kBarrier:
        return comm.Barrier(call.name);
    }
    return {};
  };
  ticket().Wait();
}

// Changes one thing of `call`, as `what` says: 0 kind, 1 count, 2 type, 3 order (another name).
Call Changed(Call call, int what, Random& random) {
  const int step = 1 + static_cast<int>(random.Below(5));
  if (what == 0) call.kind = static_cast<Kind>((static_cast<int>(call.kind) + step) % 6);
  if (what == 1) call.count += step;
  if (what == 2) call.type = static_cast<DType>((static_cast<int>(call.type) + step) % 6);
  if (what == 3) call.name = "another";
  return call;
}

// One mismatch by one rank, after some calls that agree, and after a pause of the last rank to
// arrive. Every rank must be stopped in time; at least one message names the guilty rank's call.
void OneMismatch(bool local, int trial) {
  SCOPED_TRACE(trial);
  Random random(4711, Purpose::kTest, static_cast<std::uint64_t>(trial), local);
  const int ranks = 2 + static_cast<int>(random.Below(2));
  const int guilty = static_cast<int>(random.Below(ranks));
  const int late = static_cast<int>(random.Below(ranks));
  const auto good_calls = random.Below(4);
  Call call;
  call.kind = static_cast<Kind>(random.Below(6));
  call.type = static_cast<DType>(random.Below(6));
  call.count = 1 + static_cast<std::int64_t>(random.Below(500));
  const Call other = Changed(call, trial % 4, random);
  std::atomic<int> stopped = 0;
  std::atomic<std::int64_t> arrived{0};
  OnRanks(local, ranks, milliseconds(20'000), [&](Communicator& comm) {
    std::vector<char> in(16 * 1024), out(16 * 1024 * 2, 'x');
    for (std::uint64_t i = 0; i < good_calls; ++i) Issue(comm, Call{}, in.data(), out.data());
    if (comm.rank() == late) std::this_thread::sleep_for(milliseconds(random.Below(1) + 5));
    std::fill(out.begin(), out.end(), 'x');
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    for (auto seen = arrived.load(); now > seen && !arrived.compare_exchange_weak(seen, now);) {
    }
    const Call& mine = comm.rank() == guilty ? other : call;
    const std::string message =
        MessageOf(ExitCode::kBug, [&] { Issue(comm, mine, in.data(), out.data()); });
    const auto end = std::chrono::steady_clock::now().time_since_epoch().count();
    EXPECT_LT(static_cast<double>(end - arrived.load()) * 1e-6, 200) << message;
    EXPECT_THAT(message, AllOf(HasSubstr("ranks disagree"), HasSubstr(StrCat("rank ", guilty)),
                               HasSubstr(StrCat("'", call.name, "'")),
                               HasSubstr(StrCat("'", other.name, "'")),
                               HasSubstr("tests/dist/order_test.cc:")));
    EXPECT_EQ(out, std::vector<char>(out.size(), 'x')) << "data of a broken collective was used";
    ++stopped;
  });
  EXPECT_EQ(stopped, ranks);
}

class Order : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Backend, Order, testing::Bool(),
                         [](const auto& info) { return info.param ? "Local" : "Node"; });

TEST_P(Order, TwoHundredMismatchesAreNamed) {
  for (int trial = 0; trial < 200; ++trial) OneMismatch(GetParam(), trial);
}

TEST_P(Order, CallSitesThatDifferAreNamedBoth) {
  OnRanks(GetParam(), 2, milliseconds(20'000), [](Communicator& comm) {
    const auto here = CallSite::current();
    const auto there = CallSite::current();
    const std::string message = MessageOf(
        ExitCode::kBug, [&] { comm.Barrier("same", comm.rank() == 0 ? here : there).Wait(); });
    EXPECT_THAT(message, AllOf(HasSubstr(StrCat("order_test.cc:", here.line())),
                               HasSubstr(StrCat("order_test.cc:", there.line()))));
  });
}

TEST_P(Order, RootsAndCountsByRankAreCompared) {
  OnRanks(GetParam(), 2, milliseconds(20'000), [](Communicator& comm) {
    float data[4] = {};
    EXPECT_THAT(
        MessageOf(ExitCode::kBug,
                  [&] { comm.Broadcast("b", data, 4, DType::kFloat32, comm.rank()).Wait(); }),
        AllOf(HasSubstr("from rank 0"), HasSubstr("from rank 1")));
  });
  OnRanks(GetParam(), 2, milliseconds(20'000), [](Communicator& comm) {
    float in[4] = {}, out[4] = {};
    const std::vector<std::int64_t> counts =
        comm.rank() == 0 ? std::vector<std::int64_t>{1, 3} : std::vector<std::int64_t>{3, 1};
    EXPECT_THAT(MessageOf(ExitCode::kBug,
                          [&] { comm.AllGather("g", in, out, counts, DType::kFloat32).Wait(); }),
                HasSubstr("with other counts by rank"));
  });
}

TEST_P(Order, PairsThatDoNotFitAreNamed) {
  OnRanks(GetParam(), 3, milliseconds(20'000), [](Communicator& comm) {
    float in[8] = {}, out[8] = {};
    const std::vector<std::int64_t> ones(3, 1);
    std::vector<std::int64_t> expected = ones;
    if (comm.rank() == 2) expected[0] = 2;
    EXPECT_THAT(
        MessageOf(ExitCode::kBug,
                  [&] { comm.AllToAll("ids", in, ones, out, expected, DType::kFloat32).Wait(); }),
        AllOf(HasSubstr("rank 0 sends 1 float32 to rank 2"), HasSubstr("rank 2 expects 2"),
              HasSubstr("order_test.cc:")));
  });
  OnRanks(GetParam(), 2, milliseconds(20'000), [](Communicator& comm) {
    float in[8] = {}, out[8] = {};
    const int from = comm.rank() == 0 ? 1 : -1;
    EXPECT_THAT(
        MessageOf(
            ExitCode::kBug,
            [&] {
              comm.SendReceive("hop", in, 5, 1 - comm.rank(), out, 5, from, DType::kFloat32).Wait();
            }),
        AllOf(HasSubstr("rank 0 sends 5 float32 to rank 1"), HasSubstr("rank 1 expects 0")));
  });
}

// Named with what the others wait for, where that was called, and what the absent rank did last.
TEST_P(Order, ARankThatStaysAwayIsNamedWithItsLastCall) {
  OnRanks(GetParam(), 3, milliseconds(300), [](Communicator& comm) {
    comm.Barrier("first").Wait();
    if (comm.rank() == 1) {
      std::this_thread::sleep_for(milliseconds(900));
      return;
    }
    const std::string message =
        MessageOf(ExitCode::kPeerLost, [&] { comm.Barrier("second").Wait(); });
    EXPECT_THAT(message,
                AllOf(HasSubstr("barrier 'second' (call 1)"), HasSubstr("order_test.cc:"),
                      HasSubstr("rank 1 did not arrive within 300 ms"),
                      HasSubstr("the last call of rank 1 here was barrier 'first' (call 0)")));
  });
}

TEST_P(Order, PartsAreCheckedByThemselvesAndFailTogether) {
  OnRanks(GetParam(), 4, milliseconds(20'000), [](Communicator& comm) {
    const auto part = comm.Split("pairs", comm.rank() / 2);
    if (comm.rank() < 2) {
      const std::string message = MessageOf(
          ExitCode::kBug, [&] { part->Barrier(part->rank() == 0 ? "left" : "right").Wait(); });
      EXPECT_THAT(message, AllOf(HasSubstr("'left'"), HasSubstr("'right'")));
    } else {
      // Numbers of the whole job in messages; the failure of one part ends the other.
      EXPECT_THAT(MessageOf(ExitCode::kBug,
                            [&] {
                              for (;;) part->Barrier("busy").Wait();
                            }),
                  AllOf(HasSubstr("'left'"), Not(HasSubstr("rank 2"))));
      EXPECT_THAT(MessageOf(ExitCode::kBug, [&] { comm.Barrier("whole").Wait(); }),
                  HasSubstr("'whole'"));
    }
  });
}

}  // namespace
}  // namespace vesalius::dist
