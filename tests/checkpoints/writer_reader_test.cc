// Round trips through the checkpoint format, at several world sizes, and damage of every kind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"
#include "checkpoints/attempt.h"
#include "checkpoints/boxes.h"
#include "checkpoints/inspect.h"
#include "checkpoints/manifest.h"
#include "checkpoints/plan.h"
#include "tests/checkpoints/fixture.h"
#include "tests/checkpoints/manifest_v1.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

void FlipByte(const std::string& path, std::uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(byte ^ 0x10));
}

std::vector<std::string> Names(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.push_back(fs::path(path).filename());
  return names;
}

class Checkpoint : public testing::Test {
 protected:
  std::string run() const { return dir_.path() + "/run"; }
  std::string step(std::int64_t number) const { return run() + "/ckpt/" + StepName(number); }
  void Save(std::int64_t number, int ranks = 1, int keep = 3) {
    ExpectAll(SaveStep(run(), attempt_.get(), number, ranks, keep), ExitCode::kFinished);
  }

  TempDir dir_;
  std::unique_ptr<Attempt> attempt_ = Attempt::Acquire(run());
};

TEST(Boxes, SplitFollowsMemoryAndCoversTheBox) {
  Random random(1, Purpose::kTest);
  for (int round = 0; round < 200; ++round) {
    Box box;
    for (std::uint64_t d = random.Below(4); d > 0; --d) {
      box.offset.push_back(static_cast<std::int64_t>(random.Below(5)));
      box.extent.push_back(static_cast<std::int64_t>(1 + random.Below(6)));
    }
    const std::size_t limit = 4 * (1 + random.Below(40));
    std::vector<std::int32_t> memory(static_cast<std::size_t>(Volume(box.extent)));
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::int32_t>(i);
    std::vector<std::int32_t> walked;
    for (const Box& part : Split(box, 4, limit)) {
      std::vector<std::int32_t> piece(static_cast<std::size_t>(Volume(part.extent)), -1);
      ASSERT_LE(piece.size() * 4, limit);
      CopyBox(part, box, memory.data(), part, piece.data(), 4);
      walked.insert(walked.end(), piece.begin(), piece.end());
    }
    ASSERT_EQ(walked, memory) << ToString(box) << " limit " << limit;
  }
}

TEST(Boxes, CopyAgreesWithIndexArithmetic) {
  const Box from{{1, 2, 0}, {4, 3, 6}}, to{{0, 3, 2}, {3, 4, 3}};
  Box common;
  ASSERT_TRUE(Intersect(from, to, &common));
  std::vector<double> source(72), target(36, -1);
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = static_cast<double>(i);
  CopyBox(common, from, source.data(), to, target.data(), 8);
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 4; ++j)
      for (std::int64_t k = 0; k < 3; ++k) {
        const std::int64_t a = i - 1, b = j + 3 - 2, c = k + 2;  // in `from`
        const bool held = a >= 0 && a < 4 && b >= 0 && b < 3 && c >= 0 && c < 6;
        EXPECT_EQ(target[static_cast<std::size_t>((i * 4 + j) * 3 + k)],
                  held ? static_cast<double>((a * 3 + b) * 6 + c) : -1);
      }
}

TEST(Plan, ReplicasAreWrittenOnceAndBalanced) {
  const auto whole = [](std::int64_t n) { return Box{{0}, {n}}; };
  std::vector<Box> boxes;
  std::vector<std::size_t> items;
  for (int t = 0; t < 30; ++t) {
    boxes.push_back(whole(1 + t));
    items.push_back(4);
  }
  const auto writes = AssignWriters({boxes, boxes, boxes}, items);
  std::vector<int> seen(30, 0);
  std::vector<std::int64_t> load;
  for (const auto& mine : writes) {
    load.push_back(0);
    for (const int t : mine) {
      ++seen[static_cast<std::size_t>(t)];
      load.back() += 1 + t;
    }
  }
  EXPECT_EQ(seen, std::vector<int>(30, 1));
  for (const std::int64_t bytes : load) EXPECT_NEAR(static_cast<double>(bytes), 155, 3);
}

TEST_F(Checkpoint, RoundTripOfOneRank) {
  Save(12);
  ExpectContent(step(12), 12);
  const Reader reader(step(12));
  EXPECT_EQ(reader.info().token, attempt_->token());
  EXPECT_EQ(reader.info().run_id, attempt_->run_id());
  EXPECT_EQ(reader.info().config_text, "seed: 1\n");
  EXPECT_TRUE(reader.Has("table", Role::kParameter));
  EXPECT_FALSE(reader.Has("table", Role::kMoment1));
  EXPECT_EQ(reader.tensors().size(), 12u);
  EXPECT_THAT(ListDir(step(12)), ElementsAre("MANIFEST", "rank-0000.shard"));
}

TEST_F(Checkpoint, AnyWorldSizeReadsWhatAnyOtherWrote) {
  std::string digest;
  for (const int writers : {1, 2, 3, 5}) {
    const TempDir other;
    const auto attempt = Attempt::Acquire(other.path());
    ExpectAll(SaveStep(other.path(), attempt.get(), 7, writers), ExitCode::kFinished);
    const std::string folder = other.path() + "/ckpt/" + StepName(7);
    EXPECT_EQ(ListDir(folder).size(), static_cast<std::size_t>(writers) + 1);
    for (const int readers : {1, 2, 4})
      for (int rank = 0; rank < readers; ++rank) ExpectContent(folder, 7, rank, readers);
    const std::string now = Reader(folder).ParametersDigest();
    if (digest.empty()) digest = now;
    EXPECT_EQ(now, digest) << writers << " writers";
  }
  Save(8);
  EXPECT_NE(Reader(step(8)).ParametersDigest(), digest);
}

TEST_F(Checkpoint, LargeTensorsAreCutIntoChunks) {
  State state;
  TensorView& view = state.Add("big", "U8", {3, 20 << 20}, Role::kParameter, Whole({3, 20 << 20}));
  auto* bytes = static_cast<unsigned char*>(view.data);
  for (std::size_t i = 0; i < view.bytes; ++i) bytes[i] = static_cast<unsigned char>(i * 13 >> 8);
  Writer writer({.run_folder = run(), .rank = 0, .ranks = 1, .keep = {.newest = 2}}, attempt_.get(),
                Alone());
  const std::string folder = writer.Save(MakeInfo(1), state.views);
  const std::string path = folder + "/MANIFEST";
  const Manifest manifest = DecodeManifest(ReadFile(path), path);
  EXPECT_EQ(manifest.tensors[0].chunks.size(), 6u);
  for (const Chunk& chunk : manifest.tensors[0].chunks) {
    EXPECT_LE(chunk.bytes, kMaxChunkBytes);
    EXPECT_EQ(chunk.position % kChunkAlignment, 0u);
  }
  std::vector<char> out(view.bytes);
  TensorView all = view;
  all.data = out.data();
  Reader(folder).Read(all);
  EXPECT_EQ(std::memcmp(out.data(), view.data, out.size()), 0);
}

TEST_F(Checkpoint, RefusesOtherShapeDtypeOrName) {
  Save(3);
  const Reader reader(step(3));
  float value[17];
  TensorView view{{"block.1.weight", "F32", {17}, Role::kParameter}, {0}, {17}, value, 68};
  reader.Read(view);
  view.meta.name = "block.9.weight";
  EXPECT_THAT(Caught([&] { reader.Read(view); }).message, HasSubstr("block.9.weight"));
  view.meta = {"block.1.weight", "F32", {18}, Role::kParameter};
  EXPECT_THAT(Caught([&] { reader.Read(view); }).message, HasSubstr("[0:18]"));
  view.meta = {"block.1.weight", "I32", {17}, Role::kParameter};
  const Thrown thrown = Caught([&] { reader.Read(view); });
  EXPECT_EQ(thrown.code, ExitCode::kInvalidData);
}

TEST_F(Checkpoint, EveryFlippedByteIsFoundAndTheOlderStepUsed) {
  Save(1);
  Save(2, 2);
  Random random(5, Purpose::kTest);
  for (const std::string& name : ListDir(step(2))) {
    const std::string path = step(2) + "/" + name, content = ReadFile(path);
    for (int round = 0; round < 60; ++round) {
      const std::uint64_t at = random.Below(content.size());
      FlipByte(path, at);
      std::vector<std::string> skipped;
      const std::string chosen = ResolveStep(run(), &skipped);
      // Only padding between chunks, which are zeros outside of every chunk, may go unnoticed.
      if (chosen == step(2)) {
        EXPECT_EQ(content[at], '\0') << path << " byte " << at;
        ExpectContent(step(2), 2);
      } else {
        EXPECT_EQ(chosen, step(1));
        ASSERT_EQ(skipped.size(), 1u);
        EXPECT_THAT(skipped[0], HasSubstr(path));
      }
      FlipByte(path, at);
    }
  }
  EXPECT_EQ(ResolveStep(run(), nullptr), step(2));
}

TEST_F(Checkpoint, DamageIsNamedWithFileTensorAndOffset) {
  Save(4);
  const std::string path = step(4) + "/MANIFEST";
  const Manifest manifest = DecodeManifest(ReadFile(path), path);
  const Chunk& chunk = manifest.tensors[1].chunks[0];
  FlipByte(step(4) + "/rank-0000.shard", chunk.position + 2);
  const Thrown thrown = Caught([&] { Reader(step(4)).Verify(); });
  EXPECT_EQ(thrown.code, ExitCode::kInvalidData);
  EXPECT_THAT(thrown.message, HasSubstr("rank-0000.shard"));
  EXPECT_THAT(thrown.message, HasSubstr("'block.1.weight'"));
  EXPECT_THAT(thrown.message, HasSubstr(std::to_string(chunk.position)));
  EXPECT_EQ(Caught([&] { InspectCheckpoint(step(4)); }).code, ExitCode::kInvalidData);
}

TEST_F(Checkpoint, TruncatedMissingAndSwappedShards) {
  Save(1);
  Save(2);
  const std::string shard = step(2) + "/rank-0000.shard", whole = ReadFile(shard);
  const auto reason = [&] {
    std::vector<std::string> skipped;
    EXPECT_EQ(ResolveStep(run(), &skipped), step(1));
    return skipped.empty() ? std::string() : skipped[0];
  };
  fs::resize_file(shard, whole.size() - 1);
  EXPECT_THAT(reason(), HasSubstr("truncated"));
  fs::remove(shard);
  EXPECT_THAT(reason(), HasSubstr("missing"));
  fs::copy_file(step(1) + "/rank-0000.shard", shard);
  EXPECT_THAT(reason(), HasSubstr("checksum"));
  WriteFileAtomic(shard, whole);
  EXPECT_EQ(ResolveStep(run(), nullptr), step(2));
  fs::resize_file(step(2) + "/MANIFEST", 10);
  EXPECT_THAT(reason(), HasSubstr("MANIFEST"));
  fs::remove(step(2) + "/MANIFEST");
  EXPECT_THAT(reason(), HasSubstr("MANIFEST"));
  Quarantine(step(2));
  EXPECT_THAT(Names(ListSteps(run())), ElementsAre(StepName(1)));
  EXPECT_TRUE(IsDir(run() + "/ckpt/quarantine/" + StepName(2)));
}

TEST_F(Checkpoint, ResolveSaysWhatIsMissing) {
  EXPECT_EQ(Caught([&] { ResolveStep(dir_.path() + "/none", nullptr); }).code,
            ExitCode::kInputMissing);
  EXPECT_THAT(Caught([&] { ResolveStep(run(), nullptr); }).message, HasSubstr("no checkpoint yet"));
  Save(1);
  EXPECT_EQ(ResolveStep(run() + "/", nullptr), step(1));
  EXPECT_EQ(ResolveStep(step(1) + "/", nullptr), step(1));
  EXPECT_EQ(ResolveStep(step(1) + "/./", nullptr), step(1));
  fs::remove(step(1) + "/rank-0000.shard");
  const Thrown thrown = Caught([&] { ResolveStep(run(), nullptr); });
  EXPECT_EQ(thrown.code, ExitCode::kInvalidData);
  EXPECT_THAT(thrown.message, HasSubstr("rank-0000.shard is missing"));
  fs::rename(step(1), step(9));
  EXPECT_THAT(Caught([&] { Reader reader(step(9)); }).message, HasSubstr("renamed"));
}

TEST_F(Checkpoint, WhatCannotBeReadIsNotPassedOver) {
  Save(1);
  Save(2);
  for (const char* file : {"/MANIFEST", "/rank-0000.shard"}) {
    SetFileFault([&](FileOp op, const std::string& path) {
      return op == FileOp::kRead && path == step(2) + file ? EIO : 0;
    });
    const Thrown thrown = Caught([&] { ResolveStep(run(), nullptr); });
    SetFileFault(nullptr);
    EXPECT_EQ(thrown.code, ExitCode::kInputMissing);
    EXPECT_THAT(thrown.message, HasSubstr(step(2) + file + ": Input/output error"));
  }
  const std::string shard = step(2) + "/rank-0000.shard";
  fs::remove(shard);
  fs::create_symlink(fs::path(shard).filename(), shard);  // leads nowhere: it cannot be looked at
  EXPECT_EQ(Caught([&] { Reader reader(step(2)); }).code, ExitCode::kInputMissing);
}

TEST_F(Checkpoint, WhatStandsInTheWayOfAStepIsNamed) {
  MakeDirs(run() + "/ckpt");
  fs::create_symlink("nowhere", step(3));
  ExpectAll(SaveStep(run(), attempt_.get(), 3, 1, 2), ExitCode::kCannotSave, "stands in the way");
  ExpectAll(SaveStep(run(), attempt_.get(), 3, 1, 2), ExitCode::kCannotSave, step(3));
  fs::remove(step(3));
  Save(3);
}

TEST_F(Checkpoint, RetentionKeepsTheNewestGoodOnes) {
  for (int number = 1; number <= 4; ++number) Save(number, 1, 2);
  EXPECT_THAT(Names(ListSteps(run())), ElementsAre(StepName(4), StepName(3)));
  fs::remove(step(4) + "/MANIFEST");  // damaged ones do not count
  Save(5, 1, 2);
  EXPECT_THAT(Names(ListSteps(run())), ElementsAre(StepName(5), StepName(4), StepName(3)));
  for (const std::string& name : ListDir(run() + "/ckpt")) EXPECT_THAT(name[0], 's');
  ExpectAll(SaveStep(run(), attempt_.get(), 6, 1, 1), ExitCode::kConfig, "trainer.keep");
}

TEST_F(Checkpoint, ALowerStepThanTheOldOnesSurvivesItsOwnRetention) {
  for (int number = 10; number <= 12; ++number) Save(number, 1, 2);
  Save(5, 1, 2);
  EXPECT_TRUE(IsDir(step(5)));
}

TEST_F(Checkpoint, TheSameStepAgain) {
  Save(6);
  FlipByte(step(6) + "/MANIFEST", 40);
  Save(6, 2);  // the damaged one goes to quarantine
  ExpectContent(step(6), 6);
  EXPECT_TRUE(IsDir(run() + "/ckpt/quarantine/" + StepName(6)));
  EXPECT_TRUE(Exists(step(6) + "/rank-0001.shard"));
  Save(6, 1);  // the good one stays, ours is dropped
  EXPECT_TRUE(Exists(step(6) + "/rank-0001.shard"));
  EXPECT_THAT(ListDir(run() + "/ckpt"), ElementsAre("quarantine", StepName(6)));
}

TEST_F(Checkpoint, LeftoversAreSweptAndReplaced) {
  MakeDirs(run() + "/ckpt/.tmp-00000002-other_000001_000001");
  WriteFileAtomic(run() + "/ckpt/.tmp-00000002-other_000001_000001/rank-0000.shard", "half");
  MakeDirs(run() + "/ckpt/.trash-" + StepName(1));
  Save(2);
  EXPECT_THAT(ListDir(run() + "/ckpt"), ElementsAre(StepName(2)));
}

TEST_F(Checkpoint, VersionOneIsRead) {
  Save(7, 3);
  MakeVersionOne(step(7));
  Reader(step(7)).Verify();
  for (int rank = 0; rank < 2; ++rank) ExpectContent(step(7), 7, rank, 2);
  FlipByte(step(7) + "/rank-0001.shard", 4);
  EXPECT_EQ(Caught([&] { Reader(step(7)).Verify(); }).code, ExitCode::kInvalidData);
}

TEST_F(Checkpoint, InspectTellsWhatIsInside) {
  Save(9, 3);
  EXPECT_TRUE(IsCheckpoint(run()));
  EXPECT_TRUE(IsCheckpoint(step(9)));
  EXPECT_FALSE(IsCheckpoint(dir_.path()));
  const nlohmann::json json = InspectCheckpoint(run());
  EXPECT_EQ(json, InspectCheckpoint(step(9)));
  EXPECT_EQ(json["kind"], "checkpoint");
  EXPECT_EQ(json["step"], 9);
  EXPECT_EQ(json["samples"], 144);
  EXPECT_EQ(json["tensors"].size(), 12u);
  EXPECT_EQ(json["tensors"][3]["role"], "moment1");
  EXPECT_EQ(json["tensors"][9]["shape"], nlohmann::json({60, 25}));
  EXPECT_EQ(json["parameters"], 60 + 17 + 1000 + 1500);
  EXPECT_EQ(json["parameters_digest"], Reader(step(9)).ParametersDigest());
}

TEST_F(Checkpoint, RanksThatDisagreeAreABug) {
  const auto thrown = OnRanks(2, [&](int rank, const Exchange& exchange) {
    Writer writer({.run_folder = run(), .rank = rank, .ranks = 2, .keep = {.newest = 2}},
                  rank == 0 ? attempt_.get() : nullptr, exchange);
    State state = MakeState(1, rank, 2);
    if (rank == 1) state.views.pop_back();
    writer.Save(MakeInfo(1), state.views);
  });
  ExpectAll(thrown, ExitCode::kBug, "different tensors");
  const auto holes = OnRanks(2, [&](int rank, const Exchange& exchange) {
    Writer writer({.run_folder = run(), .rank = rank, .ranks = 2, .keep = {.newest = 2}},
                  rank == 0 ? attempt_.get() : nullptr, exchange);
    writer.Save(MakeInfo(1), MakeState(1, 0, 2).views);  // nobody has the right half of the table
  });
  ExpectAll(holes, ExitCode::kBug, "'table'");
  EXPECT_TRUE(ListDir(run() + "/ckpt").empty());
}

}  // namespace
}  // namespace vesalius::checkpoints
