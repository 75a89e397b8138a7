// `pretrain --init` with the program's own exports: the same model comes back, on any number of
// ranks; a run that goes on ignores it; refusals are told before the run begins.
#include <gmock/gmock.h>

#include <cstring>

#include "checkpoints/safetensors.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const char* const kStandStill = "--set trainer.lr=1e-12 --set trainer.weight_decay=0 ";

// The largest difference between two files that hold the same float32 tensors.
double LargestDifference(const std::string& a, const std::string& b) {
  const checkpoints::SafeTensorsFile one(a), two(b);
  EXPECT_EQ(one.tensors().size(), two.tensors().size());
  double worst = 0;
  for (std::size_t t = 0; t < std::min(one.tensors().size(), two.tensors().size()); ++t) {
    const auto &x = one.tensors()[t], &y = two.tensors()[t];
    EXPECT_EQ(x.name, y.name);
    EXPECT_EQ(x.shape, y.shape);
    std::vector<float> left(x.bytes / 4), right(x.bytes / 4);
    std::memcpy(left.data(), x.data, x.bytes);
    std::memcpy(right.data(), y.data, std::min(x.bytes, y.bytes));
    for (std::size_t i = 0; i < left.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(left[i]) - right[i]));
  }
  return worst;
}

constexpr double kOneStep = 1e-9;  // of a rate of 1e-12

class InitTest : public testing::Test {
 protected:
  static const Training& Data() {
    static const Training training(40);
    return training;
  }
  // Exports `run` and returns the folder.
  static std::string Exported(const std::string& run) {
    const std::string out = Data().run(run + "-export");
    const Outcome outcome =
        Program(StrCat("export --checkpoint ", Data().run(run), " --out ", out));
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return out;
  }
  // A trained run, and its export.
  static const std::string& Source() {
    static const std::string folder = [] {
      const Outcome outcome = Data().Run("source", kAlone, Steps(4));
      EXPECT_EQ(outcome.status, 0) << outcome.output;
      return Exported("source");
    }();
    return folder;
  }
};

TEST_F(InitTest, TheWholeExportGivesTheModelBack) {
  for (const auto& [name, launch] :
       std::map<std::string, Launch>{{"alone", kAlone}, {"local", kTwoLocal}, {"mpi", kTwoMpi}}) {
    const Outcome outcome = Data().Run(
        name, launch,
        StrCat(Steps(1), kStandStill, "--set seed=77 --init ", Source(), "/model.safetensors"));
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    EXPECT_THAT(outcome.output,
                AllOf(HasSubstr("vision and text"), Not(HasSubstr("random start"))));
    EXPECT_LT(
        LargestDifference(Exported(name) + "/vision.safetensors", Source() + "/vision.safetensors"),
        kOneStep);
    EXPECT_LT(LargestDifference(Exported(name) + "/text/model.safetensors",
                                Source() + "/text/model.safetensors"),
              kOneStep);
  }
}

TEST_F(InitTest, TowersAlone) {
  const Outcome outcome =
      Data().Run("towers", kAlone,
                 StrCat(Steps(1), kStandStill, "--set seed=78 --init ", Source(),
                        "/vision.safetensors --init ", Source(), "/text/model.safetensors"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("at their random start"), HasSubstr("box_head"),
                                    HasSubstr("text.projection"), Not(HasSubstr("text.layers"))));
  EXPECT_LT(LargestDifference(Exported("towers") + "/vision.safetensors",
                              Source() + "/vision.safetensors"),
            kOneStep);
}

TEST_F(InitTest, IsForAFreshStartOnly) {
  ASSERT_EQ(Data().Run("resumed", kAlone, Steps(2)).status, 0);
  const Outcome outcome =
      Data().Run("resumed", kAlone, StrCat(Steps(3), "--init ", Source(), "/model.safetensors"));
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("--init is ignored"));
  ASSERT_EQ(Data().Run("plain", kAlone, Steps(2)).status, 0);
  ASSERT_EQ(Data().Run("plain", kAlone, Steps(3)).status, 0);
  ExpectSameMetrics(Data().run("resumed"), Data().run("plain"));
}

TEST_F(InitTest, RefusalsComeOnceAndBeforeTheRun) {
  const std::string wrong =
      StrCat(Steps(1), "--set model.text.width=32 --init ", Source(), "/text/model.safetensors");
  for (const Launch& launch : {kAlone, kTwoLocal, kTwoMpi}) {
    const Outcome outcome = Data().Run("refused", launch, wrong);
    EXPECT_EQ(outcome.status, 78) << outcome.output;
    const std::string key = "model.text.width=64";
    const std::size_t first = outcome.output.find(key);
    ASSERT_NE(first, std::string::npos) << outcome.output;
    EXPECT_EQ(outcome.output.find(key, first + 1), std::string::npos) << outcome.output;
  }
  const Outcome checked = Data().Run("checked", kAlone, wrong + " --check");
  EXPECT_EQ(checked.status, 78);
  EXPECT_FALSE(Exists(Data().run("checked")));
  const Outcome missing = Data().Run("missing", kAlone, Steps(1) + "--init /nowhere.safetensors");
  EXPECT_EQ(missing.status, 66) << missing.output;
}

TEST_F(InitTest, AFrozenTextTowerWithoutWeightsIsTold) {
  const std::string frozen = StrCat(Steps(1), "--set model.text.frozen=true ");
  EXPECT_THAT(Data().Run("frozen", kAlone, frozen).output, HasSubstr("random start stays"));
  const Outcome outcome = Data().Run(
      "frozen-init", kAlone, StrCat(frozen, "--init ", Source(), "/text/model.safetensors"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, Not(HasSubstr("random start stays")));
}

}  // namespace
}  // namespace vesalius::trainer
