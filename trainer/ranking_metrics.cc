#include "trainer/ranking_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace vesalius::trainer {
namespace {

struct Scored {
  double score;
  int label;
};

std::vector<Scored> Labelled(std::span<const double> scores, std::span<const int> labels) {
  std::vector<Scored> items;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (labels[i] != 0 && labels[i] != 1) continue;
    Require(std::isfinite(scores[i]), ExitCode::kNumericalStop,
            "a score is not finite: the model's parameters are damaged or diverged");
    items.push_back({scores[i], labels[i]});
  }
  return items;
}

}  // namespace

std::optional<double> Auroc(std::span<const double> scores, std::span<const int> labels,
                            int at_least) {
  std::vector<Scored> items = Labelled(scores, labels);
  std::sort(items.begin(), items.end(),
            [](const Scored& a, const Scored& b) { return a.score < b.score; });
  double positives = 0, rank_sum = 0;
  for (std::size_t i = 0; i < items.size();) {
    std::size_t j = i;
    while (j < items.size() && items[j].score == items[i].score) ++j;
    const double midrank = static_cast<double>(i + j + 1) / 2;  // ranks i+1 .. j
    for (; i < j; ++i)
      if (items[i].label == 1) ++positives, rank_sum += midrank;
  }
  const double negatives = static_cast<double>(items.size()) - positives;
  if (positives < at_least || negatives < at_least || positives == 0 || negatives == 0)
    return std::nullopt;
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

std::optional<double> AveragePrecision(std::span<const double> scores,
                                       std::span<const int> labels) {
  std::vector<Scored> items = Labelled(scores, labels);
  std::sort(items.begin(), items.end(),
            [](const Scored& a, const Scored& b) { return a.score > b.score; });
  const double positives = std::accumulate(items.begin(), items.end(), 0.0,
                                           [](double n, const Scored& s) { return n + s.label; });
  if (positives == 0) return std::nullopt;
  double hits = 0, area = 0, last_recall = 0;
  for (std::size_t i = 0; i < items.size();) {
    const double score = items[i].score;
    for (; i < items.size() && items[i].score == score; ++i) hits += items[i].label;
    const double recall = hits / positives;
    area += (recall - last_recall) * hits / static_cast<double>(i);
    last_recall = recall;
  }
  return area;
}

std::int64_t RankOfFirstHit(std::span<const float> scores, std::span<const std::uint8_t> hits) {
  std::size_t best = scores.size();
  for (std::size_t i = 0; i < scores.size(); ++i)
    if (hits[i] && (best == scores.size() || scores[i] > scores[best])) best = i;
  if (best == scores.size()) return 0;
  std::int64_t rank = 1;
  for (std::size_t i = 0; i < scores.size(); ++i)
    rank += !hits[i] && (scores[i] > scores[best] || (scores[i] == scores[best] && i < best));
  return rank;
}

}  // namespace vesalius::trainer
