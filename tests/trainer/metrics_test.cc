// Ranking and detection metrics against scikit-learn's and pycocotools' values.
#include <gtest/gtest.h>

#include "tests/util/shared_data.h"
#include "trainer/detection_metrics.h"
#include "trainer/ranking_metrics.h"

namespace vesalius::trainer {
namespace {

TEST(Ranking, AurocAndAveragePrecisionWithTies) {
  VESALIUS_NEEDS_SHARED("data/gold_torch/auroc.json");
  for (const auto& c : ReadJson(SharedData("data/gold_torch/auroc.json"))["cases"]) {
    const auto scores = c["scores"].get<std::vector<double>>();
    const auto labels = c["labels"].get<std::vector<int>>();
    EXPECT_NEAR(Auroc(scores, labels).value(), c["auroc"].get<double>(), 1e-12);
    EXPECT_NEAR(AveragePrecision(scores, labels).value(), c["average_precision"].get<double>(),
                1e-12);
  }
}

TEST(Ranking, TooFewOfAClassGiveNoAuc) {
  const std::vector<double> scores = {1, 2, 3};
  const std::vector<int> labels = {1, 0, -1};
  EXPECT_DOUBLE_EQ(Auroc(scores, labels).value(), 0.0);
  EXPECT_FALSE(Auroc(scores, labels, 2).has_value());
}

TEST(Ranking, FirstHit) {
  const std::vector<float> scores = {0.1f, 0.9f, 0.5f, 0.5f};
  EXPECT_EQ(RankOfFirstHit(scores, std::vector<std::uint8_t>{0, 0, 0, 1}), 3);
  EXPECT_EQ(RankOfFirstHit(scores, std::vector<std::uint8_t>{1, 1, 0, 0}), 1);
  EXPECT_EQ(RankOfFirstHit(scores, std::vector<std::uint8_t>{0, 0, 0, 0}), 0);
}

TEST(Detection, CocoSample) {
  VESALIUS_NEEDS_SHARED("data/detmetrics/coco/");
  const std::string folder = SharedData("data/detmetrics/coco/");
  const auto expected = ReadJson(folder + "expected.json");
  const auto gts = ReadJson(folder + "sampled_gts_bbox_area.json");
  const auto dts = ReadJson(folder + "sampled_bbox_results.json");
  std::map<int, int> category;
  std::vector<GroundTruth> truths;
  std::vector<Detection> detections;
  const auto id = [&category](int raw) {
    return category.emplace(raw, static_cast<int>(category.size())).first->second;
  };
  for (const auto& a : gts["annotations"])
    truths.push_back({a["image_id"], id(a["category_id"]), a["bbox"][0], a["bbox"][1], a["bbox"][2],
                      a["bbox"][3], a["area"], a.value("iscrowd", 0) != 0});
  for (const auto& a : dts.is_array() ? dts : dts["annotations"])
    detections.push_back({a["image_id"], id(a["category_id"]), a["bbox"][0], a["bbox"][1],
                          a["bbox"][2], a["bbox"][3], a["score"]});
  const DetectionFigures f = CocoFigures(truths, detections, static_cast<int>(category.size()));
  const double tolerance = expected["tol"];
  for (const auto& [name, value] : std::map<std::string, double>{{"AP", f.ap},
                                                                 {"AP50", f.ap50},
                                                                 {"AP75", f.ap75},
                                                                 {"APsmall", f.ap_small},
                                                                 {"APmedium", f.ap_medium},
                                                                 {"APlarge", f.ap_large},
                                                                 {"AR1", f.ar1},
                                                                 {"AR10", f.ar10},
                                                                 {"AR100", f.ar100},
                                                                 {"ARsmall", f.ar_small},
                                                                 {"ARmedium", f.ar_medium},
                                                                 {"ARlarge", f.ar_large}})
    EXPECT_NEAR(value, expected[name].get<double>(), tolerance) << name;
}

}  // namespace
}  // namespace vesalius::trainer
