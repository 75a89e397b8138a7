#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "dist/bootstrap.h"
#include "tests/dist/conformance.h"
#include "tests/util/message_of.h"

namespace vesalius::dist {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

class Local : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Local, testing::Values(1, 2, 3, 4));

TEST_P(Local, Conformance) {
  RunLocalRanks(GetParam(), [](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    RunConformance(*comm, true);
  });
}

TEST_P(Local, ExchangesBytesBeforeAnyCommunicator) {
  RunLocalRanks(GetParam(), [](Bootstrap& bootstrap) {
    const auto all = bootstrap.Exchange("ids", StrCat("rank ", bootstrap.rank()));
    ASSERT_EQ(static_cast<int>(all.size()), bootstrap.size());
    for (int r = 0; r < bootstrap.size(); ++r) EXPECT_EQ(all[r], StrCat("rank ", r));
  });
}

TEST(LocalFaults, DifferentCallsAreNamedOnAllRanks) {
  RunLocalRanks(3, [](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    ExpectMismatchIsNamed(*comm);
  });
}

TEST(LocalFaults, ARankThatSleepsIsLost) {
  RunLocalRanks(3, [](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {.deadline = milliseconds(200)});
    comm->Barrier("start").Wait();
    if (bootstrap.rank() == 1) std::this_thread::sleep_for(milliseconds(600));
    const std::string message =
        MessageOf(ExitCode::kPeerLost, [&] { comm->Barrier("step 7").Wait(); });
    EXPECT_THAT(message, HasSubstr("'step 7'"));
    EXPECT_THAT(message, HasSubstr("rank 1 did not arrive within 200 ms"));
  });
}

TEST(LocalFaults, ARankThatLeavesIsNoticedAtOnce) {
  RunLocalRanks(3, [](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    if (bootstrap.rank() == 2) return;
    const std::string message =
        MessageOf(ExitCode::kPeerLost, [&] { comm->Barrier("step 8").Wait(); });
    EXPECT_THAT(message, AllOf(HasSubstr("'step 8'"), HasSubstr("rank 2 left before it")));
  });
}

TEST(LocalFaults, TheFirstCauseIsRethrown) {
  const std::string message = MessageOf(ExitCode::kInvalidData, [] {
    RunLocalRanks(4, [](Bootstrap& bootstrap) {
      const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
      comm->Barrier("start").Wait();
      if (bootstrap.rank() == 1) Fail(ExitCode::kInvalidData, "shard 3 is damaged");
      comm->Barrier("step 9").Wait();
    });
  });
  EXPECT_EQ(message, "shard 3 is damaged");
}

TEST(LocalFaults, ADroppedTicketAbortsAndFreesItsMemory) {
  std::atomic<int> lost = 0;
  RunLocalRanks(2, [&](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    if (bootstrap.rank() == 0) {
      auto data = std::make_unique<float[]>(1000);
      { Ticket dropped = comm->AllReduce("dropped", data.get(), 1000, DType::kFloat32); }
      data.reset();
      comm->Abort("done");
    } else {
      std::this_thread::sleep_for(milliseconds(50));
      std::vector<float> data(1000);
      const std::string message = MessageOf(ExitCode::kPeerLost, [&] {
        comm->AllReduce("dropped", data.data(), 1000, DType::kFloat32).Wait();
      });
      EXPECT_THAT(message, HasSubstr("rank 0 gave up on all-reduce 'dropped'"));
      ++lost;
    }
  });
  EXPECT_EQ(lost, 1);
}

TEST(LocalFaults, AbortReachesWaitingRanks) {
  RunLocalRanks(2, [](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCpu, {});
    if (bootstrap.rank() == 0) {
      std::this_thread::sleep_for(milliseconds(30));
      comm->Abort("the disk is full");
    }
    const std::string message =
        MessageOf(ExitCode::kPeerLost, [&] { comm->Barrier("step 10").Wait(); });
    EXPECT_THAT(message, AllOf(HasSubstr("'step 10'"), HasSubstr("the disk is full")));
  });
}

TEST(LocalFaults, TooManyRanksAreRefused) {
  for (const int ranks : {0, 1025}) {
    EXPECT_THAT(MessageOf(ExitCode::kConfig, [&] { RunLocalRanks(ranks, [](Bootstrap&) {}); }),
                HasSubstr(StrCat("must be 1 to 1024, not ", ranks)));
  }
}

// Once the first ranks run, no further thread finds room for its stack.
TEST(LocalFaults, AThreadThatCannotStartEndsAllRanks) {
  pthread_attr_t before, huge;
  ASSERT_EQ(pthread_getattr_default_np(&before), 0);
  ASSERT_EQ(pthread_attr_init(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, std::size_t{1} << 50), 0);
  const std::string message = MessageOf(ExitCode::kConfig, [&] {
    RunLocalRanks(1024, [&](Bootstrap& bootstrap) {
      pthread_setattr_default_np(&huge);
      bootstrap.Exchange("ids", "");
    });
  });
  pthread_setattr_default_np(&before);
  pthread_attr_destroy(&before);
  pthread_attr_destroy(&huge);
  EXPECT_THAT(message, AllOf(HasSubstr("no thread can be started for rank"), HasSubstr("of 1024"),
                             HasSubstr("start fewer local ranks")));
}

}  // namespace
}  // namespace vesalius::dist
