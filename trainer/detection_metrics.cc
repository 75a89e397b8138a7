#include "trainer/detection_metrics.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

namespace vesalius::trainer {
namespace {

constexpr int kThresholds = 10, kRecalls = 101;
struct AreaRange {
  double low, high;
};
constexpr std::array<AreaRange, 4> kAreas = {
    {{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}};  // all, small, medium, large

// As numpy.linspace computes them: the last bit decides ties.
double Threshold(int t) { return 0.5 + t * ((0.95 - 0.5) / 9); }

// Intersection over union; over the detection's own area for a crowd.
double Iou(const Detection& d, const GroundTruth& g) {
  const double w = std::min(d.x + d.w, g.x + g.w) - std::max(d.x, g.x);
  const double h = std::min(d.y + d.h, g.y + g.h) - std::max(d.y, g.y);
  if (w <= 0 || h <= 0) return 0;
  return w * h / (g.crowd ? d.w * d.h : d.w * d.h + g.w * g.h - w * h);
}

// The detections and truths of one image and category.
struct Cell {
  std::vector<const Detection*> detections;  // best first, at most 100
  std::vector<const GroundTruth*> truths;
};

// One detection's fate at every threshold.
struct Verdict {
  double score = 0;
  int rank = 0;  // within its image
  std::array<bool, kThresholds> matched{}, ignored{};
};

// Greedy matching, best detections first; truths that count are preferred to ignored ones.
void Match(const Cell& cell, const AreaRange& area, std::vector<Verdict>* verdicts,
           std::int64_t* positives) {
  std::vector<std::pair<bool, const GroundTruth*>> truths;  // ignored?, truth
  for (const GroundTruth* truth : cell.truths)
    truths.emplace_back(truth->crowd || truth->area < area.low || truth->area > area.high, truth);
  std::stable_sort(truths.begin(), truths.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [ignored, truth] : truths) *positives += !ignored;

  std::array<std::vector<bool>, kThresholds> taken;
  taken.fill(std::vector<bool>(truths.size(), false));
  for (std::size_t rank = 0; rank < cell.detections.size(); ++rank) {
    const Detection& detection = *cell.detections[rank];
    Verdict verdict{detection.score, static_cast<int>(rank), {}, {}};
    for (int t = 0; t < kThresholds; ++t) {
      double best = std::min(Threshold(t), 1 - 1e-10);
      int found = -1;
      for (std::size_t g = 0; g < truths.size(); ++g) {
        if (taken[t][g] && !truths[g].second->crowd) continue;
        if (found >= 0 && !truths[found].first && truths[g].first) break;
        const double iou = Iou(detection, *truths[g].second);
        if (iou < best) continue;
        best = iou;
        found = static_cast<int>(g);
      }
      verdict.matched[t] = found >= 0;
      const double size = detection.w * detection.h;
      verdict.ignored[t] = found >= 0 ? truths[found].first : size < area.low || size > area.high;
      if (found >= 0) taken[t][found] = true;
    }
    verdicts->push_back(verdict);
  }
}

struct Curve {
  std::array<double, kThresholds> precision{}, recall{};  // interpolated mean, final recall
};

Curve Accumulate(const std::vector<Verdict>& sorted, int limit, std::int64_t positives) {
  Curve curve;
  for (int t = 0; t < kThresholds; ++t) {
    std::vector<double> recalls, precisions;
    double hits = 0, misses = 0;
    for (const Verdict& verdict : sorted) {
      if (verdict.rank >= limit || verdict.ignored[t]) continue;
      (verdict.matched[t] ? hits : misses) += 1;
      recalls.push_back(hits / static_cast<double>(positives));
      precisions.push_back(hits / (hits + misses));
    }
    for (std::size_t i = precisions.size(); i-- > 1;)
      precisions[i - 1] = std::max(precisions[i - 1], precisions[i]);
    double sum = 0;
    for (int r = 0; r < kRecalls; ++r) {
      const auto at = std::lower_bound(recalls.begin(), recalls.end(), r * 0.01);
      if (at != recalls.end()) sum += precisions[at - recalls.begin()];
    }
    curve.precision[t] = sum / kRecalls;
    curve.recall[t] = recalls.empty() ? 0 : recalls.back();
  }
  return curve;
}

double Mean(const std::array<double, kThresholds>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / kThresholds;
}

// Running mean over categories that have ground truth.
struct Average {
  double sum = 0;
  int count = 0;
  void Add(double value) { sum += value, ++count; }
  double value() const { return count > 0 ? sum / count : -1; }
};

}  // namespace

DetectionFigures CocoFigures(const std::vector<GroundTruth>& truths,
                             const std::vector<Detection>& detections, int categories) {
  std::map<std::pair<int, std::int64_t>, Cell> cells;  // by category, image
  for (const GroundTruth& truth : truths)
    cells[{truth.category, truth.image}].truths.push_back(&truth);
  for (const Detection& detection : detections)
    cells[{detection.category, detection.image}].detections.push_back(&detection);
  for (auto& [key, cell] : cells) {
    std::stable_sort(cell.detections.begin(), cell.detections.end(),
                     [](const Detection* a, const Detection* b) { return a->score > b->score; });
    if (cell.detections.size() > 100) cell.detections.resize(100);
  }

  DetectionFigures out;
  out.category_ap.assign(categories, -1);
  out.category_ap50.assign(categories, -1);
  std::array<Average, 4> ap, ar;
  Average ap50, ap75, ar1, ar10;
  for (std::size_t a = 0; a < kAreas.size(); ++a) {
    for (int category = 0; category < categories; ++category) {
      std::vector<Verdict> verdicts;
      std::int64_t positives = 0;
      const auto begin = cells.lower_bound({category, std::numeric_limits<std::int64_t>::min()});
      for (auto it = begin; it != cells.end() && it->first.first == category; ++it)
        Match(it->second, kAreas[a], &verdicts, &positives);
      if (positives == 0) continue;
      std::stable_sort(verdicts.begin(), verdicts.end(),
                       [](const Verdict& x, const Verdict& y) { return x.score > y.score; });
      const Curve full = Accumulate(verdicts, 100, positives);
      ap[a].Add(Mean(full.precision));
      ar[a].Add(Mean(full.recall));
      if (a > 0) continue;
      out.category_ap[category] = Mean(full.precision);
      out.category_ap50[category] = full.precision[0];
      ap50.Add(full.precision[0]);
      ap75.Add(full.precision[5]);
      ar1.Add(Mean(Accumulate(verdicts, 1, positives).recall));
      ar10.Add(Mean(Accumulate(verdicts, 10, positives).recall));
    }
  }
  out.ap = ap[0].value(), out.ap_small = ap[1].value(), out.ap_medium = ap[2].value();
  out.ap_large = ap[3].value(), out.ap50 = ap50.value(), out.ap75 = ap75.value();
  out.ar1 = ar1.value(), out.ar10 = ar10.value(), out.ar100 = ar[0].value();
  out.ar_small = ar[1].value(), out.ar_medium = ar[2].value(), out.ar_large = ar[3].value();
  return out;
}

}  // namespace vesalius::trainer
