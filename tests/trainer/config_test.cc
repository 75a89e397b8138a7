// Configuration: presets, settings, nearest names, ranges, what may change on resume.
#include "trainer/config.h"
#include "trainer/config_changes.h"

#include <gtest/gtest.h>

#include "tests/util/message_of.h"
#include "trainer/schedule.h"

namespace vesalius::trainer {
namespace {

std::string FailureOf(const std::vector<std::string>& settings, ExitCode code = ExitCode::kConfig) {
  return MessageOf(code, [&] { LoadConfig("tiny", "", settings); });
}

TEST(Config, EveryPresetIsValidAndResolvesToItself) {
  for (const std::string& name : PresetNames()) {
    const Config config = LoadConfig(name, "", {});
    EXPECT_EQ(ParseConfig(config.text).text, config.text) << name;
    EXPECT_TRUE(ForbiddenChanges(config.text, ParseConfig(config.text).text).empty());
  }
}

TEST(Config, DefaultsAloneAreValid) { EXPECT_EQ(ParseConfig("").trainer.steps, 1000); }

TEST(Config, SettingsOverrideAndDefaultsAreWritten) {
  const Config config = LoadConfig("tiny", "", {"trainer.lr=2e-4", "seed=9", "data.augment=true"});
  EXPECT_EQ(config.trainer.lr, 2e-4);
  EXPECT_EQ(config.seed, 9u);
  EXPECT_TRUE(config.data.augment);
  EXPECT_NE(config.text.find("beta2: 0.999"), std::string::npos);
}

TEST(Config, MisspeltKeysNameTheNearest) {
  EXPECT_NE(FailureOf({"trainer.stepz=3"}).find("trainer.steps"), std::string::npos);
  EXPECT_NE(FailureOf({"trainer.lr.x=3"}).find("trainer.lr"), std::string::npos);
  EXPECT_NE(FailureOf({"trainer=3"}).find("unknown"), std::string::npos);
}

TEST(Config, ValuesOutOfRangeNameKeyAndRange) {
  const std::string message = FailureOf({"trainer.steps=0"});
  EXPECT_NE(message.find("trainer.steps = 0"), std::string::npos) << message;
  EXPECT_NE(message.find("[1, "), std::string::npos) << message;
  FailureOf({"trainer.lr=nan"});
  FailureOf({"trainer.lr=fast"});
  FailureOf({"model.image_size=60"});  // not a multiple of the patch
  FailureOf({"model.positions=random"});
  FailureOf({"model.dropout=0.95"});
  FailureOf({"loss.pair_form=clip"});
  FailureOf({"loss.positives=keep"});
  FailureOf({"loss.skip_epsilon=0.1"});
  FailureOf({"dist.contrast=star"});
  FailureOf({"dist.logit_cache_mb=-1"});
  FailureOf({"trainer.audit_every=-1"});
  FailureOf({"trainer.stage1=0.7", "trainer.stage2=0.7"});
  // A checkpoint keeps its words: its configuration loads where the file is gone.
  EXPECT_NO_THROW(LoadConfig("tiny", "", {"data.vocab=/no/such/vocab.txt"}));
}

TEST(Config, WhatMayChangeOnResume) {
  const std::string before = LoadConfig("tiny", "", {}).text;
  EXPECT_TRUE(
      ForbiddenChanges(before, LoadConfig("tiny", "", {"data.workers=3", "trainer.steps=9"}).text)
          .empty());
  const auto changes = ForbiddenChanges(before, LoadConfig("tiny", "", {"trainer.lr=1"}).text);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_NE(changes[0].find("trainer.lr"), std::string::npos);
}

TEST(Schedule, WarmupCosineStages) {
  TrainerConfig config = LoadConfig("tiny", "", {"trainer.steps=100", "trainer.lr=1"}).trainer;
  EXPECT_NEAR(LearningRate(config, 0), 0.2, 1e-12);    // 5 steps of warm-up
  EXPECT_NEAR(LearningRate(config, 50), 0.505, 1e-9);  // half of the cosine
  EXPECT_NEAR(LearningRate(config, 100), 0.01, 1e-12);
  EXPECT_EQ(StageAt(config, 0), 1);
  EXPECT_EQ(StageAt(config, 10), 2);
  EXPECT_EQ(StageAt(config, 15), 3);
}

}  // namespace
}  // namespace vesalius::trainer
