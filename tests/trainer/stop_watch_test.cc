// Reasons to stop that come without a signal.
#include "trainer/stop_watch.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <ctime>

#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

TEST(StopWatchTest, AnEvaluationThatTheJobsEndWouldCutIsNotBegun) {
  const TempDir dir;
  ::setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 120).c_str(), 1);
  StopWatch before_evaluation(dir.path()), before_step(dir.path());
  for (StopWatch* watch : {&before_evaluation, &before_step}) {
    watch->StepTook(1);
    watch->SaveTook(10);
    watch->EvaluationTook(100);
    watch->EvaluationTook(2);
  }
  ASSERT_TRUE(WaitUntil([&] { return before_evaluation.StopNow(true); }, 10));
  EXPECT_THAT(before_evaluation.reason(), HasSubstr("the job's time ends in 1"));
  EXPECT_TRUE(before_evaluation.StopNow(false)) << "it thought better of it";
  EXPECT_FALSE(before_step.StopNow(false));
  EXPECT_EQ(before_step.reason(), "");
  before_step.StepTook(100);
  EXPECT_TRUE(WaitUntil([&] { return before_step.StopNow(false); }, 10));
  ::unsetenv("SLURM_JOB_END_TIME");
}

TEST(StopWatchTest, AFileAsksToo) {
  const TempDir dir;
  StopWatch watch(dir.path());
  EXPECT_FALSE(watch.StopNow(true));
  WriteFileAtomic(dir.path() + "/STOP", "");
  EXPECT_TRUE(WaitUntil([&] { return watch.StopNow(false); }, 10));
  EXPECT_EQ(watch.reason(), dir.path() + "/STOP is there");
}

}  // namespace
}  // namespace vesalius::trainer
