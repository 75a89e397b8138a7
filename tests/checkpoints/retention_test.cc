// Which checkpoints stay: the newest good ones, every N steps, the best by a figure, pinned ones.
#include "checkpoints/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::ElementsAre;

class Retention : public testing::Test {
 protected:
  // Steps 1 to `count`, all kept so far.
  void SaveAll(std::int64_t count) {
    for (std::int64_t step = 1; step <= count; ++step)
      ExpectAll(SaveStep(run(), attempt_.get(), step, 1, /*keep=*/100), ExitCode::kFinished);
  }
  // The steps that are left, the newest first.
  std::vector<std::int64_t> Left(const RetentionPolicy& policy, std::int64_t committed) {
    RemoveOldSteps(run(), policy, committed);
    std::vector<std::int64_t> steps;
    for (const std::string& folder : ListSteps(run()))
      steps.push_back(StepOfName(std::filesystem::path(folder).filename().string()));
    return steps;
  }
  std::string run() const { return dir_.path(); }
  std::string step(std::int64_t number) const { return run() + "/ckpt/" + StepName(number); }

  const TempDir dir_;
  const std::unique_ptr<Attempt> attempt_ = Attempt::Acquire(dir_.path());
};

TEST_F(Retention, TheNewestThatOpen) {
  SaveAll(5);
  std::filesystem::remove(step(4) + "/MANIFEST");
  EXPECT_THAT(Left({.newest = 2}, 5), ElementsAre(5, 4, 3));  // what is damaged does not count
}

TEST_F(Retention, EveryNth) {
  SaveAll(9);
  EXPECT_THAT(Left({.newest = 2, .every = 3}, 9), ElementsAre(9, 8, 6, 3));
}

TEST_F(Retention, TheBestOfThoseThatAreThere) {
  SaveAll(6);
  WriteFileAtomic(
      run() + "/evals.jsonl",
      "{\"step\":2,\"auc\":0.8,\"loss\":3}\n{\"step\":3,\"auc\":0.7,\"loss\":1}\n"
      "{\"step\":40,\"auc\":0.99,\"loss\":0}\n{\"step\":4,\"auc\":null}\n{\"step\":6,\"au");
  EXPECT_THAT(Left({.newest = 2, .best = "auc"}, 6), ElementsAre(6, 5, 2));
  EXPECT_THAT(Left({.newest = 2, .best = "auc"}, 6), ElementsAre(6, 5, 2));  // it stays the best
}

TEST_F(Retention, TheLeast) {
  SaveAll(6);
  WriteFileAtomic(run() + "/evals.jsonl",
                  "{\"step\":2,\"loss\":3}\n{\"step\":3,\"loss\":1}\n{\"step\":4,\"loss\":2}\n");
  EXPECT_THAT(Left({.newest = 2, .best = "-loss"}, 6), ElementsAre(6, 5, 3));
}

TEST_F(Retention, AFigureThatNoEvaluationHasKeepsNothingMore) {
  SaveAll(4);
  WriteFileAtomic(run() + "/evals.jsonl", "{\"step\":1,\"auc\":0.8}\n");
  EXPECT_THAT(Left({.newest = 2, .best = "iou"}, 4), ElementsAre(4, 3));
}

TEST_F(Retention, PinnedOnesUntilTheyAreNot) {
  SaveAll(5);
  Pin(step(1));
  EXPECT_TRUE(IsPinned(step(1)));
  EXPECT_THAT(Left({.newest = 2}, 5), ElementsAre(5, 4, 1));
  Reader(step(1)).Verify();  // a pin is no damage
  Unpin(step(1));
  EXPECT_THAT(Left({.newest = 2}, 5), ElementsAre(5, 4));
}

void FlipMiddle(const std::string& path) {
  std::string bytes = ReadFile(path);
  bytes[bytes.size() / 2] ^= 1;
  WriteFileAtomic(path, bytes);
}

TEST_F(Retention, PruningCountsOnlyWhatVerifies) {
  SaveAll(4);
  FlipMiddle(step(4) + "/rank-0000.shard");
  FlipMiddle(step(3) + "/rank-0000.shard");
  PruneSteps(run(), {.newest = 2});
  EXPECT_EQ(ListSteps(run()).size(), 4u);
  FlipMiddle(step(1) + "/rank-0000.shard");
  PruneSteps(run(), {.newest = 2});
  EXPECT_TRUE(IsDir(step(2)));
}

TEST_F(Retention, WhatCannotBeReadIsNoDamage) {
  SaveAll(4);
  SetFileFault([this](FileOp op, const std::string& path) {
    return op == FileOp::kRead && path.starts_with(step(4)) ? EIO : 0;
  });
  EXPECT_THAT(Left({.newest = 2}, 3), ElementsAre(4, 3, 2, 1));
  EXPECT_EQ(Caught([&] { PruneSteps(run(), {.newest = 2}); }).code, ExitCode::kInputMissing);
  SetFileFault(nullptr);
  EXPECT_EQ(ListSteps(run()).size(), 4u);
}

TEST_F(Retention, PruningNamesWhatCannotBeRemoved) {
  SaveAll(3);
  SetFileFault([this](FileOp op, const std::string& path) {
    return op == FileOp::kRename && path.find(StepName(1)) != path.npos ? EACCES : 0;
  });
  const Thrown thrown = Caught([&] { PruneSteps(run(), {.newest = 2}); });
  SetFileFault(nullptr);
  EXPECT_EQ(thrown.code, ExitCode::kCannotCreate);
  EXPECT_THAT(thrown.message, testing::HasSubstr(step(1)));
}

// After a roll-back the step at hand is not among the newest.
TEST_F(Retention, WhatWasJustCommitted) {
  SaveAll(5);
  EXPECT_THAT(Left({.newest = 2}, 2), ElementsAre(5, 4, 2));
}

}  // namespace
}  // namespace vesalius::checkpoints
