// `vesalius checkpoints` on the checkpoints of a training.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/trainer/training.h"

namespace vesalius::launch {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using trainer::Json;

// Steps 2, 4, ..., 12.
class CheckpointsCommandTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    training_ = new trainer::Training(40);
    const Outcome outcome =
        training_->Run("run", trainer::kAlone,
                       trainer::Steps(12) +
                           "--set trainer.checkpoint_every=2 --set trainer.keep=10 "
                           "--set checkpoint.keep_every=4");
    ASSERT_EQ(outcome.status, 0) << outcome.output;
  }
  static void TearDownTestSuite() { delete training_; }
  void SetUp() override {
    std::filesystem::copy(training_->run("run"), run(), std::filesystem::copy_options::recursive);
  }
  std::string run() const { return dir_.path() + "/run"; }
  std::string step(int number) const {
    return run() + "/ckpt/step-000000" + (number < 10 ? "0" : "") + std::to_string(number);
  }
  Outcome Do(const std::string& words, Json* found = nullptr) const {
    const std::string json = dir_.path() + "/found.json";
    const Outcome outcome = Program("checkpoints " + run() + " " + words + " --json " + json);
    if (found != nullptr) *found = Json::parse(ReadFile(json));
    return outcome;
  }
  void Damage(int number) const {
    const std::string path = step(number) + "/rank-0000.shard";
    std::string bytes = ReadFile(path);
    bytes[bytes.size() / 2] ^= 1;
    WriteFileAtomic(path, bytes);
  }

  static trainer::Training* training_;
  const TempDir dir_;
};
trainer::Training* CheckpointsCommandTest::training_ = nullptr;

TEST_F(CheckpointsCommandTest, ListsAndVerifies) {
  Json found;
  EXPECT_EQ(Do("", &found).status, 0);
  ASSERT_EQ(found["checkpoints"].size(), 6u);
  EXPECT_EQ(found["checkpoints"][0]["step"], 12);
  Damage(4);
  EXPECT_EQ(Do("list").status, 0);  // looks at manifests alone
  const Outcome verified = Do("verify", &found);
  EXPECT_EQ(verified.status, 65) << verified.output;
  EXPECT_THAT(verified.output, HasSubstr("DAMAGED"));
  for (const Json& entry : found["checkpoints"])
    EXPECT_EQ(entry["good"], entry["step"] != 4) << entry;
}

TEST_F(CheckpointsCommandTest, Compares) {
  Json found;
  EXPECT_EQ(Do("diff 4 4", &found).status, 0);
  EXPECT_EQ(found["equal"], true);
  EXPECT_EQ(Do("diff 4 6", &found).status, 0);
  EXPECT_EQ(found["equal"], false);
  EXPECT_GT(found["tensors"].size(), 10u);
  EXPECT_THAT(found["blobs"].get<std::vector<std::string>>(), Contains("loader"));
  EXPECT_EQ(Do("diff 4 5").status, 66);
}

TEST_F(CheckpointsCommandTest, PrunesWhatTheRunDoesNotKeep) {
  EXPECT_EQ(Do("pin 2").status, 0);
  Json found;
  EXPECT_EQ(Do("prune", &found).status, 0);  // trainer.keep = 10
  EXPECT_EQ(found["kept"], 6);
  EXPECT_EQ(Do("prune --keep 2", &found).status, 0);
  EXPECT_THAT(found["removed"].get<std::vector<int>>(), ElementsAre(6));  // 4 and 8: keep_every
  EXPECT_EQ(Do("unpin 2").status, 0);
  EXPECT_EQ(Do("prune --keep 2", &found).status, 0);
  EXPECT_THAT(found["removed"].get<std::vector<int>>(), ElementsAre(2));
  EXPECT_EQ(Do("prune --keep 1").status, 64);
  EXPECT_EQ(Do("verify").status, 0);
}

TEST_F(CheckpointsCommandTest, PrunesNoGoodStepForDamagedOnes) {
  for (const int number : {12, 10, 8, 6, 4}) Damage(number);
  EXPECT_EQ(Do("prune --keep 2").status, 0);
  EXPECT_TRUE(IsDir(step(2)));
}

TEST_F(CheckpointsCommandTest, PinsItsOwnStepsOnly) {
  const Outcome outcome = Do("pin " + dir_.path());
  EXPECT_EQ(outcome.status, 66);
  EXPECT_THAT(outcome.output, HasSubstr("there are 12, 10, 8, 6, 4, 2"));
  EXPECT_FALSE(Exists(dir_.path() + "/PINNED"));
  EXPECT_EQ(Do("pin 3").status, 66);
  EXPECT_EQ(Do("pin " + step(4) + "/").status, 0);
  EXPECT_TRUE(Exists(step(4) + "/PINNED"));
}

TEST_F(CheckpointsCommandTest, TellsUnreadableFromDamaged) {
  std::filesystem::remove(step(4) + "/MANIFEST");
  std::filesystem::create_directory(step(4) + "/MANIFEST");
  EXPECT_THAT(Do("list").output, HasSubstr("UNREADABLE"));
}

TEST_F(CheckpointsCommandTest, ExportsNoDamagedStepHoweverItIsNamed) {
  Damage(4);
  for (const char* ending : {"", "/", "/."}) {
    const std::string out = dir_.path() + "/exported";
    const Outcome outcome = Program("export --checkpoint " + step(4) + ending + " --out " + out);
    EXPECT_EQ(outcome.status, 65) << outcome.output;
    EXPECT_FALSE(Exists(out)) << ending;
  }
}

TEST_F(CheckpointsCommandTest, SaysWhatIsWrong) {
  EXPECT_THAT(Do("pinn 2").output, HasSubstr("did you mean 'pin'?"));
  EXPECT_EQ(Do("pin").status, 64);
  EXPECT_EQ(Program("checkpoints " + dir_.path()).status, 66);
}

}  // namespace
}  // namespace vesalius::launch
