// Robust windows, the verdicts on odd steps and their limits, the sums of replicas.
#include "trainer/numbers_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tests/util/message_of.h"
#include "trainer/replicas.h"

namespace vesalius::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

WatchConfig Config(SpikeAction action) { return {2, 6, action, 40, 1, 0}; }

// A loss that falls slowly, with a wave on it.
double Loss(std::int64_t step) {
  const auto at = static_cast<double>(step);
  return 3 - 0.001 * at + 0.1 * std::sin(at);
}

void Feed(NumbersWatch* watch, std::int64_t from, std::int64_t to) {
  for (std::int64_t step = from; step <= to; ++step)
    ASSERT_EQ(watch->Judge(step, Loss(step), 1 + 0.1 * std::cos(static_cast<double>(step)), true),
              Verdict::kApply)
        << watch->finding();
}

TEST(RobustWindowTest, MedianAndScore) {
  RobustWindow window(5);
  for (const double value : {100., 1., 2., 3., 4., 5.}) window.Add(value);
  EXPECT_EQ(window.size(), 5u);
  EXPECT_EQ(window.Median(), 3);
  EXPECT_DOUBLE_EQ(window.Score(3 + 1.4826 * 4), 4);  // MAD 1
  EXPECT_LT(window.Score(-10), 0);
  window.Clear();
  for (int i = 0; i < 5; ++i) window.Add(2);
  EXPECT_DOUBLE_EQ(window.Score(2.02), 1);  // no deviation: a hundredth of the median
}

TEST(NumbersWatchTest, WhatIsNotFiniteIsSkippedUpToALimit) {
  NumbersWatch watch(Config(SpikeAction::kFlag));
  EXPECT_FALSE(watch.Decides());
  EXPECT_EQ(watch.Judge(1, kNan, 1, false), Verdict::kSkip);
  EXPECT_THAT(watch.finding(), HasSubstr("not finite"));
  Feed(&watch, 2, 899);
  EXPECT_TRUE(watch.finding().empty());
  EXPECT_EQ(watch.Judge(900, 1, INFINITY, false), Verdict::kSkip);
  EXPECT_EQ(watch.Judge(1001, kNan, 1, false), Verdict::kSkip);  // step 1 is out of the 1,000
  EXPECT_THAT(MessageOf(ExitCode::kNumericalStop, [&] { watch.Judge(1002, kNan, 1, false); }),
              HasSubstr("watch.max_skipped is 2"));
  EXPECT_EQ(watch.Counts()[0].second, 4);
}

TEST(NumbersWatchTest, ASpikeIsTreatedAsConfigured) {
  for (const SpikeAction action :
       {SpikeAction::kFlag, SpikeAction::kSkip, SpikeAction::kRollBack}) {
    NumbersWatch watch(Config(action));
    EXPECT_EQ(watch.Decides(), action != SpikeAction::kFlag);
    EXPECT_EQ(watch.Judge(1, 1e6, 1e6, true), Verdict::kApply);  // nothing to compare with yet
    Feed(&watch, 2, 60);
    const Verdict expected = action == SpikeAction::kFlag   ? Verdict::kApply
                             : action == SpikeAction::kSkip ? Verdict::kSkip
                                                            : Verdict::kRollBack;
    EXPECT_EQ(watch.Judge(61, Loss(61), 1000, true), expected);
    EXPECT_THAT(watch.finding(), HasSubstr("stands out"));
    EXPECT_EQ(watch.Counts()[1].second, 1);
    if (action != SpikeAction::kRollBack) continue;
    EXPECT_EQ(watch.Judge(62, Loss(62), 1000, /*can_roll_back=*/false), Verdict::kSkip);
    EXPECT_THAT(MessageOf(ExitCode::kNumericalStop, [&] { watch.Judge(63, 1e3, 1, true); }),
                HasSubstr("watch.max_rollbacks is 1"));
  }
}

TEST(NumbersWatchTest, ANewStageForgetsTheMedians) {
  NumbersWatch watch(Config(SpikeAction::kSkip));
  Feed(&watch, 1, 60);
  watch.Restart();
  EXPECT_EQ(watch.Judge(61, 1000, 1000, true), Verdict::kApply);
}

TEST(NumbersWatchTest, ItsStateDecidesAsTheOriginal) {
  NumbersWatch watch(Config(SpikeAction::kSkip));
  Feed(&watch, 1, 70);
  watch.Judge(71, kNan, 1, true);
  NumbersWatch copy(Config(SpikeAction::kSkip)), fresh(Config(SpikeAction::kSkip));
  copy.Parse(watch.Serialize());
  EXPECT_EQ(copy.Serialize(), watch.Serialize());
  EXPECT_EQ(copy.Judge(72, Loss(72), 500, true), Verdict::kSkip);
  fresh.Parse(watch.Serialize(), /*keep_counts=*/true);
  EXPECT_EQ(fresh.Counts()[0].second, 0);
  EXPECT_EQ(fresh.Judge(72, Loss(72), 500, true), Verdict::kSkip);
  for (const char* text : {"", "{}", "[1]", R"({"losses":["x"]})"})
    EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { copy.Parse(text); }),
                HasSubstr("numbers watch"));
}

TEST(ReplicaTest, TheMajorityNamesTheRank) {
  const std::vector<std::string> names = {"a", "b"};
  EXPECT_TRUE(JudgeSums({{1, 2}, {1, 2}, {1, 2}}, names).equal);
  const ReplicaCheck one = JudgeSums({{1, 2}, {1, 3}, {1, 2}}, names);
  EXPECT_FALSE(one.equal);
  EXPECT_THAT(one.wrong, ElementsAre(1));
  EXPECT_EQ(one.tensor, "b");
  EXPECT_THAT(one.text, HasSubstr("rank 1"));
  const ReplicaCheck split = JudgeSums({{1, 2}, {7, 2}}, names);
  EXPECT_FALSE(split.equal);
  EXPECT_TRUE(split.wrong.empty());
  EXPECT_THAT(split.text, HasSubstr("no majority"));
}

}  // namespace
}  // namespace vesalius::trainer
