// From Chest ImaGenome to a trained model, with the program: the import of a fixture, its table, a
// few steps of training with every loss, and an evaluation on the gold patients.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/data/imagenome/fixture.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;

TEST(Imagenome, ImportedTrainedAndEvaluated) {
  const TempDir dir;
  const Json oracle = imagenome_fixture::Write({dir.path() + "/physionet", 60, 2, 64});
  const std::string data = dir.path() + "/data", run = dir.path() + "/run";
  const Outcome imported =
      Program(StrCat("import mimic-imagenome --in ", dir.path(), "/physionet --out ", data,
                     " --size 64 --workers 2 --json ", dir.path(), "/import.json"));
  ASSERT_EQ(imported.status, 0) << imported.output;
  std::int64_t written = 0;
  std::map<std::string, std::int64_t> left_out;
  for (const Json& image : oracle["images"])
    image["out"] == "" ? ++written : ++left_out[image["out"]];
  const Json report = Json::parse(ReadFile(dir.path() + "/import.json"));
  EXPECT_EQ(report["written"], written);
  for (const auto& [reason, count] : left_out)
    EXPECT_EQ(report["quarantined_by_reason"][reason], count) << reason;
  EXPECT_THAT(imported.output, HasSubstr("image to avoid"));

  const Outcome trained =
      Program(StrCat("pretrain --preset tiny --data ", data, " --run ", run,
                     " --set trainer.threads=1 --set trainer.steps=8 --set trainer.stage1=0.25 "
                     "--set trainer.stage2=0.25 --set loss.pair=0.5 "
                     "--set data.report_length=48 --set data.perturb=0.2"));
  ASSERT_EQ(trained.status, 0) << trained.output;
  const std::vector<Json> steps = Metrics(run);
  ASSERT_EQ(steps.size(), 8u);
  for (const char* loss : {"loss", "anatomy", "global", "fine", "pair"}) {
    ASSERT_TRUE(steps.back().contains(loss)) << steps.back().dump();
    const double value = steps.back()[loss];
    EXPECT_TRUE(std::isfinite(value) && value > 0) << loss << " " << value;
  }
  const Outcome evaluated = Program(StrCat("evaluate --checkpoint ", run, " --data ", data,
                                           " --split test --json ", dir.path(), "/test.json"));
  ASSERT_EQ(evaluated.status, 0) << evaluated.output;
  const Json figures = Json::parse(ReadFile(dir.path() + "/test.json"));
  EXPECT_GT(figures["localisation"]["mean_iou"].get<double>(), 0);
}

}  // namespace
}  // namespace vesalius::trainer
