// Ranking metrics on plain numbers: AUROC, average precision, retrieval. Exact, ties included.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vesalius::trainer {

// Area under the ROC curve = P(score of a positive > score of a negative) + ties / 2 (Mann-Whitney
// U by midranks). Scores that are not finite: Error(kNumericalStop). labels 1 or 0; other labels
// are left out. Nothing where a class has fewer than `at_least`.
std::optional<double> Auroc(std::span<const double> scores, std::span<const int> labels,
                            int at_least = 1);

// Sum over thresholds of (R_n - R_{n-1}) P_n, as scikit-learn's average_precision_score.
std::optional<double> AveragePrecision(std::span<const double> scores, std::span<const int> labels);

// Rank (from 1) of the best-scored hit among candidates; 0 without any hit. A candidate that ties
// with the hit and comes earlier counts as ranked before it.
std::int64_t RankOfFirstHit(std::span<const float> scores, std::span<const std::uint8_t> hits);

}  // namespace vesalius::trainer
