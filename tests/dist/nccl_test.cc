// The nccl backend's logic against the stand-in: results, deadlines, the watchdog, and that every
// result of a call is looked at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/error.h"
#include "tests/dist/conformance.h"
#include "tests/dist/nccl_stand_in_test.h"
#include "tests/util/message_of.h"

namespace vesalius::dist::nccl {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

class NcclFaults : public StandInTest {
 protected:
  // `body` on every rank; how many threw Error(code) with a message that matches.
  int Failing(int ranks, ExitCode code, const testing::Matcher<std::string>& matcher,
              const std::function<void(Communicator&)>& body,
              milliseconds deadline = milliseconds(5000)) {
    std::atomic<int> failing = 0;
    RunLocalRanks(ranks, [&](Bootstrap& bootstrap) {
      try {
        const auto comm = bootstrap.MakeCommunicator(Device::kCuda, {.deadline = deadline});
        body(*comm);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_THAT(error.what(), matcher);
        ++failing;
      }
    });
    return failing;
  }
};
class Nccl : public NcclFaults, public testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, Nccl, testing::Values(1, 2, 3, 4));

TEST_P(Nccl, Conformance) {
  RunLocalRanks(GetParam(), [](Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(Device::kCuda, {});
    EXPECT_STREQ(comm->backend(), "nccl");
    EXPECT_EQ(comm->device(), Device::kCuda);
    RunConformance(*comm, false);
  });
  // Each rank's own, two splits of all, and one that only the last rank takes part in.
  EXPECT_EQ(faults_.destroyed, 3 * GetParam() + 1);
  EXPECT_EQ(faults_.aborts, 0);
  EXPECT_EQ(faults_.allocations, 0);
  EXPECT_EQ(faults_.runtime_objects, 0);
}

TEST_F(NcclFaults, ARankThatStaysAwayFromTheStart) {
  RunLocalRanks(2, [&](Bootstrap& bootstrap) {
    if (bootstrap.rank() == 1) {
      // Takes part in the exchange of ids, then never joins.
      bootstrap.Exchange("nccl peers", "host|machine|pids|1|node");
      bootstrap.Exchange("nccl id", "");
      return;
    }
    try {
      bootstrap.MakeCommunicator(Device::kCuda, {.deadline = milliseconds(200)});
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kPeerLost);
      EXPECT_THAT(error.what(), HasSubstr("not all ranks took part within 200 ms"));
    }
  });
  EXPECT_EQ(faults_.aborts, 1);
}

TEST_F(NcclFaults, TwoRanksOnOneGpuIsAConfigurationError) {
  faults_.refuse_init = true;
  EXPECT_EQ(Failing(2, ExitCode::kConfig,
                    AllOf(HasSubstr("Duplicate GPU detected"), HasSubstr("a GPU of its own")),
                    [](Communicator&) {}),
            2);
  EXPECT_EQ(faults_.aborts, 2);
  EXPECT_EQ(faults_.runtime_objects, 0);
}

TEST_F(NcclFaults, ARankThatStaysAwayFromACollective) {
  EXPECT_EQ(Failing(
                2, ExitCode::kPeerLost,
                AllOf(HasSubstr("barrier 'step 7'"), HasSubstr("did not take part within 200 ms")),
                [](Communicator& comm) {
                  comm.Barrier("start").Wait();
                  if (comm.rank() == 1) {
                    std::this_thread::sleep_for(milliseconds(600));
                    return;
                  }
                  comm.Barrier("step 7").Wait();
                },
                milliseconds(200)),
            1);
  EXPECT_EQ(faults_.aborts, 1);
}

TEST_F(NcclFaults, TheOldestCollectiveNamesTheFailureAndLaterCallsFail) {
  EXPECT_EQ(Failing(
                2, ExitCode::kPeerLost, HasSubstr("barrier 'third' (call 2) was abandoned"),
                [](Communicator& comm) {
                  if (comm.rank() == 1) {
                    std::this_thread::sleep_for(milliseconds(600));
                    return;
                  }
                  Ticket first = comm.Barrier("first");
                  Ticket second = comm.Barrier("second");
                  try {
                    second.Wait();
                    ADD_FAILURE() << "nothing was thrown";
                  } catch (const Error& error) {
                    EXPECT_THAT(error.what(), AllOf(HasSubstr("'second'"), HasSubstr("'first'")));
                  }
                  comm.Barrier("third");
                },
                milliseconds(200)),
            1);
}

TEST_F(NcclFaults, AnErrorThatNcclReportsMeanwhileEndsTheWait) {
  EXPECT_EQ(Failing(2, ExitCode::kPeerLost,
                    AllOf(HasSubstr("'step 8'"), HasSubstr("remote process exited")),
                    [this](Communicator& comm) {
                      if (comm.rank() == 1) {
                        std::this_thread::sleep_for(milliseconds(300));
                        return;
                      }
                      Ticket ticket = comm.Barrier("step 8");
                      faults_.report_async_error = true;
                      ticket.Wait();
                    }),
            1);
}

TEST_F(NcclFaults, AFailedCallIsNamed) {
  EXPECT_EQ(Failing(2, ExitCode::kPeerLost, AllOf(HasSubstr("'step 9'"), HasSubstr("failed")),
                    [this](Communicator& comm) {
                      if (comm.rank() == 1) {
                        std::this_thread::sleep_for(milliseconds(300));
                        return;
                      }
                      faults_.fail_launch = true;
                      comm.Barrier("step 9").Wait();
                    }),
            1);
}

TEST_F(NcclFaults, ACudaErrorIsNamed) {
  EXPECT_EQ(Failing(2, ExitCode::kNodeUnhealthy,
                    AllOf(HasSubstr("'step 10'"), HasSubstr("CUDA error 700")),
                    [this](Communicator& comm) {
                      faults_.fail_event = true;
                      comm.Barrier("step 10").Wait();
                    }),
            2);
}

TEST_F(NcclFaults, ACudaErrorAmidALaunchFailsTheCommunicator) {
  EXPECT_EQ(Failing(1, ExitCode::kNodeUnhealthy,
                    AllOf(HasSubstr("'step 12' (call 1) was abandoned"), HasSubstr("'step 11'"),
                          HasSubstr("cudaEventRecord")),
                    [this](Communicator& comm) {
                      faults_.fail_record = true;
                      EXPECT_THAT(
                          MessageOf(ExitCode::kNodeUnhealthy, [&] { comm.Barrier("step 11"); }),
                          HasSubstr("CUDA error 700"));
                      faults_.fail_record = false;
                      comm.Barrier("step 12").Wait();
                    }),
            1);
  EXPECT_EQ(faults_.aborts, 1);
  EXPECT_EQ(faults_.runtime_objects, 0);
}

TEST_F(NcclFaults, AbortEndsALaunchThatDoesNotSettle) {
  EXPECT_EQ(Failing(1, ExitCode::kPeerLost,
                    AllOf(HasSubstr("'step 13'"), HasSubstr("was abandoned: the disk is full")),
                    [this](Communicator& comm) {
                      faults_.never_settle = true;
                      std::thread other([&] {
                        std::this_thread::sleep_for(milliseconds(50));
                        comm.Abort("the disk is full");
                      });
                      try {
                        comm.Barrier("step 13").Wait();
                      } catch (...) {
                        other.join();
                        throw;
                      }
                      other.join();
                    }),
            1);
  EXPECT_EQ(faults_.aborts, 1);
}

TEST_F(NcclFaults, AbortAndDroppedTicketsEndTheWait) {
  EXPECT_EQ(Failing(2, ExitCode::kPeerLost, AllOf(HasSubstr("'next'"), HasSubstr("the disk")),
                    [](Communicator& comm) {
                      comm.Abort("the disk is full");
                      comm.Barrier("next").Wait();
                    }),
            2);
  EXPECT_EQ(Failing(2, ExitCode::kPeerLost, HasSubstr("gave up on barrier 'dropped'"),
                    [](Communicator& comm) {
                      if (comm.rank() == 1) {
                        std::this_thread::sleep_for(milliseconds(300));
                        return;
                      }
                      { Ticket dropped = comm.Barrier("dropped"); }
                      comm.Barrier("next").Wait();
                    }),
            1);
}

}  // namespace
}  // namespace vesalius::dist::nccl
