// The state in the node's memory: whole after every save, whoever dies when; never one of another
// run or a step that is not complete; checked like any other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/memory_tier.h"
#include "checkpoints/source.h"
#include "checkpoints/staging.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::HasSubstr;

constexpr int kRanks = 3;

class MemoryTier : public testing::Test {
 protected:
  MemoryTier() {
    MakeDirs(memory_);
    setenv("VESALIUS_MEMORY", memory_.c_str(), 1);
  }
  ~MemoryTier() override { unsetenv("VESALIUS_MEMORY"); }

  // One attempt that goes on from `from` in memory (-1: from disk) and saves `steps`.
  void Save(const std::vector<std::int64_t>& steps, std::int64_t from = -1, int ranks = kRanks) {
    ExpectAll(OnRanks(ranks,
                      [&](int rank, const Exchange& exchange) {
                        Writer writer({.run_folder = run_,
                                       .rank = rank,
                                       .ranks = ranks,
                                       .keep = {.newest = 2},
                                       .memory_folder = memory_,
                                       .memory_step = from},
                                      rank == 0 ? attempt_.get() : nullptr, exchange);
                        for (const std::int64_t step : steps)
                          writer.Save(MakeInfo(step), MakeState(step, rank, ranks).views);
                      }),
              ExitCode::kFinished);
  }
  std::vector<std::int64_t> Steps() const {
    std::vector<std::int64_t> steps;
    for (const MemoryStep& step : ListMemory(memory_)) steps.push_back(step.step);
    return steps;
  }
  void ExpectInMemory(std::int64_t step) {
    const std::string source = SourceText({step, attempt_->token()});
    for (int rank = 0; rank < 2; ++rank) {
      const std::unique_ptr<Reader> reader = OpenSource(source);
      EXPECT_EQ(reader->info().step, step);
      EXPECT_EQ(reader->info().blobs, MakeInfo(step).blobs);
      const State expected = MakeState(step, rank, 2);
      for (const TensorView& view : expected.views) {
        std::vector<char> bytes(view.bytes, 'x');
        TensorView out = view;
        out.data = bytes.data();
        reader->Read(out);
        EXPECT_EQ(std::string(bytes.data(), bytes.size()),
                  std::string(static_cast<const char*>(view.data), view.bytes));
      }
    }
  }

  TempDir dir_;
  std::string run_ = dir_.path() + "/run", memory_ = dir_.path() + "/memory";
  std::unique_ptr<Attempt> attempt_ = Attempt::Acquire(run_);
};

TEST_F(MemoryTier, HoldsTheLastTwoSteps) {
  EXPECT_TRUE(Steps().empty());
  Save({1});
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{1});
  ExpectInMemory(1);
  Save({2, 3}, 1);
  EXPECT_EQ(Steps(), (std::vector<std::int64_t>{3, 2}));
  ExpectInMemory(3);
  ExpectInMemory(2);
  // The shards in memory are those on disk, byte for byte, then zeros.
  const std::string disk = ReadFile(run_ + "/ckpt/step-00000003/rank-0001.shard");
  int same = 0;
  for (int slot = 0; slot < kMemorySlots; ++slot) {
    const std::string memory = ReadFile(MemoryShard(memory_, 1, slot));
    same += memory.substr(0, disk.size()) == disk;
    EXPECT_EQ(memory.size() % 4096, 0u);
  }
  EXPECT_EQ(same, 1);
}

TEST_F(MemoryTier, TheStepARunGoesOnFromIsOverwrittenLast) {
  Save({1, 2});
  ASSERT_EQ(Steps(), (std::vector<std::int64_t>{2, 1}));
  Save({}, 2);  // an attempt that dies before its first save
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{2});
  ExpectInMemory(2);
  Save({3}, 2);
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{3});  // the other slot is ready for step 4
}

TEST_F(MemoryTier, WhatARunDoesNotGoOnFromIsForgotten) {
  Save({1, 2});
  Save({}, -1);
  EXPECT_TRUE(Steps().empty());
}

TEST_F(MemoryTier, ARankWithRoomForOneSlotUsesItAgain) {
  MakeDirs(MemoryShard(memory_, 1, 1));  // in the way of rank 1's second slot
  Save({1, 2, 3});
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{3});
  ExpectInMemory(3);
  Save({}, 3);  // the step that an attempt goes on from stays until it saves
  ExpectInMemory(3);
  Save({4, 5}, 3);
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{5});
  ExpectInMemory(5);
}

TEST_F(MemoryTier, ARankWithoutRoomForASlotSavesToDisk) {
  for (int slot = 0; slot < kMemorySlots; ++slot) MakeDirs(MemoryShard(memory_, 1, slot));
  Save({1, 2, 3});
  EXPECT_TRUE(Steps().empty());
  EXPECT_EQ(ListSteps(run_).size(), 2u);
  for (int rank = 0; rank < kRanks; ++rank) ExpectContent(ListSteps(run_)[0], 3, rank, kRanks);
}

// Before it takes any: all ranks of a machine may have to.
TEST_F(MemoryTier, ARankSaysWhatItWillTakeOfTheMachine) {
  StagingOptions options;
  options.memory_folder = memory_;
  EXPECT_EQ(Staging(options).Plan(1 << 20), 0u);
  options.memory_folder = memory_ + "/absent";
  Staging without(options);
  EXPECT_EQ(without.Plan(1 << 20), std::uint64_t{1} << 20);
  without.Reserve();
  EXPECT_EQ(without.Plan(1 << 20), 0u) << "it has it";
}

TEST_F(MemoryTier, IncompleteDamagedOrForeignStepsAreNoSource) {
  Save({1, 2});
  const auto newest = [&](const std::string& run_id) {
    std::vector<std::string> skipped;
    return NewestSource(run_, run_id, CommonMemory({DescribeMemory(), DescribeMemory()}), &skipped);
  };
  EXPECT_EQ(newest(attempt_->run_id()), SourceText({2, attempt_->token()}));
  EXPECT_EQ(newest("0123456789abcdef"), run_ + "/ckpt/step-00000002");  // another run's folder
  EXPECT_EQ(NewestSource(run_, attempt_->run_id(), CommonMemory({DescribeMemory(), ""}), nullptr),
            run_ + "/ckpt/step-00000002");  // a node has nothing
  // A flipped byte is found by whoever reads it.
  const int slot = StepInSlot(memory_, 1, 0) == 2 ? 0 : 1;
  const std::string shard = MemoryShard(memory_, 1, slot);
  std::string bytes = ReadFile(shard);
  bytes[10] = static_cast<char>(bytes[10] ^ 1);
  WriteFileAtomic(shard, bytes);
  const Thrown thrown = Caught([&] { OpenSource(SourceText({2, attempt_->token()}))->Verify(); });
  EXPECT_EQ(thrown.code, ExitCode::kInvalidData);
  EXPECT_THAT(thrown.message, HasSubstr(shard));
  // A share that is missing.
  RemoveTree(MemoryPart(memory_, 2, slot));
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{1});
  EXPECT_EQ(newest(attempt_->run_id()), run_ + "/ckpt/step-00000002");
}

TEST_F(MemoryTier, WhatIsUndoneIsForgottenOnEveryNode) {
  Save({1, 2});
  // A copy that came from another node, and one that is still coming.
  const std::string copy = MemoryPart(memory_, 7, 0), coming = memory_ + "/.in-rank-0007.b-1.part";
  for (const std::string& path : {copy, coming})
    std::filesystem::copy(MemoryPart(memory_, 1, StepInSlot(memory_, 1, 0) == 2 ? 0 : 1), path);
  ForgetMemory(memory_, 1);
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{1});
  EXPECT_FALSE(Exists(copy));
  EXPECT_TRUE(Exists(coming)) << "the agent's";
  ForgetMemory(memory_, 0);
  EXPECT_TRUE(Steps().empty());
  ForgetMemory("", 0);
}

TEST_F(MemoryTier, AnotherNumberOfRanksGoesOnFromIt) {
  Save({1, 2});
  Save({3}, 2, /*ranks=*/2);
  EXPECT_EQ(Steps(), std::vector<std::int64_t>{3});  // step 2 of rank 2 is there, the others' not
  ExpectInMemory(3);
}

TEST_F(MemoryTier, ASaveGivenUpOnDiskIsStillInMemory) {
  Save({1});
  const auto thrown = OnRanks(kRanks, [&](int rank, const Exchange& exchange) {
    Writer writer({.run_folder = run_,
                   .rank = rank,
                   .ranks = kRanks,
                   .memory_folder = memory_,
                   .memory_step = 1},
                  rank == 0 ? attempt_.get() : nullptr, exchange);
    exchange("meet", "");
    if (rank == 0)
      SetFileFault([this](FileOp op, const std::string& path) {
        return op == FileOp::kWrite && path.starts_with(run_) ? EIO : 0;
      });
    exchange("meet", "");
    writer.Save(MakeInfo(2), MakeState(2, rank, kRanks).views);
  });
  SetFileFault(nullptr);
  ExpectAll(thrown, ExitCode::kCannotSave);
  ExpectInMemory(2);
}

}  // namespace
}  // namespace vesalius::checkpoints
