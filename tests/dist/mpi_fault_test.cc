// Ranks under mpirun that die, stay away or give up: the others say which collective they stood in
// and who is missing, long before the deadline where the process is gone, and leave with the right
// code; nothing hangs. mpirun is told not to kill the survivors, as a supervisor of our own would
// not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/strings.h"
#include "tests/util/temp_dir.h"

namespace vesalius::dist {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class MpiFault : public testing::TestWithParam<const char*> {
 protected:
  // What each rank reported, "" where it reported nothing. The run must end within 60 s: mpirun
  // itself takes most of a time that a busy machine needs.
  std::vector<std::string> Run(const std::string& mode, int ranks) {
    const std::string command =
        StrCat("timeout 60 ", std::getenv("VESALIUS_MPIRUN"), " --enable-recovery -n ", ranks, " ",
               std::getenv("VESALIUS_FAULT_PROGRAM"), " ", mode, " ", folder_.path(), " ",
               GetParam(), " >", folder_.path(), "/output 2>&1");
    const int status = std::system(command.c_str());
    EXPECT_NE(WEXITSTATUS(status), 124) << "the run hung";
    std::vector<std::string> reports;
    for (int r = 0; r < ranks; ++r) {
      const std::string path = StrCat(folder_.path(), "/", r);
      reports.push_back(Exists(path) ? ReadFile(path) : "");
    }
    return reports;
  }
  void ExpectAllBut(int guilty, const std::vector<std::string>& reports,
                    const testing::Matcher<std::string>& matcher) {
    for (int r = 0; r < static_cast<int>(reports.size()); ++r) {
      if (r == guilty) continue;
      EXPECT_THAT(reports[r], matcher) << "rank " << r;
    }
  }

  TempDir folder_;
};

INSTANTIATE_TEST_SUITE_P(Way, MpiFault, testing::Values("shared", "mpi", "nodes"));

TEST_P(MpiFault, AKilledRankIsNamedAtOnce) {
  for (int ranks : {2, 3}) {
    const auto reports = Run("kill", ranks);
    ExpectAllBut(ranks - 1, reports,
                 AllOf(StartsWith("80 "), HasSubstr("all-reduce 'step 3'"),
                       HasSubstr(StrCat("rank ", ranks - 1, " (process ")), HasSubstr("died")));
    EXPECT_LT(std::stod(ReadFile(folder_.path() + "/0.seconds")), 30);  // the deadline is 60
  }
}

TEST_P(MpiFault, ARankThatExitsIsNamedAtOnce) {
  ExpectAllBut(1, Run("exit", 2),
               AllOf(StartsWith("80 "), HasSubstr("all-reduce 'step 3'"), HasSubstr("died")));
}

TEST_P(MpiFault, ARankThatStaysAwayIsNamedAtTheDeadline) {
  const auto reports = Run("sleep", 3);
  ExpectAllBut(2, reports, AllOf(StartsWith("80 "), HasSubstr("all-reduce 'step 3'")));
  // Another node waits a little longer, since that of a missing rank knows more.
  const int waited = std::string(GetParam()) == "nodes" ? 1500 : 1000;
  EXPECT_THAT(reports[0] + reports[1],
              HasSubstr(StrCat("rank 2 did not arrive within ", waited, " ms")));
}

TEST_P(MpiFault, AnErrorOnOneRankEndsTheOthers) {
  const auto reports = Run("throw", 2);
  EXPECT_EQ(reports[1], "65 shard 3 is damaged");
  EXPECT_THAT(reports[0], AllOf(StartsWith("80 "), HasSubstr("all-reduce 'step 3'")));
}

TEST_P(MpiFault, AbortReachesTheOthersWithItsReason) {
  const auto reports = Run("abort", 3);
  ExpectAllBut(-1, reports, AllOf(StartsWith("80 "), HasSubstr("the disk is full")));
}

TEST_P(MpiFault, ADroppedTicketEndsTheOthers) {
  const auto reports = Run("drop", 2);
  EXPECT_EQ(reports[1], "65 after a drop");
  EXPECT_THAT(reports[0], StartsWith("80 "));
}

TEST_P(MpiFault, DifferentCallsAreNamedOnAllRanks) {
  ExpectAllBut(-1, Run("mismatch", 3),
               AllOf(StartsWith("70 "), HasSubstr("'step 3'"), HasSubstr("barrier 'another'")));
}

}  // namespace
}  // namespace vesalius::dist
