#include "record/stragglers.h"

#include <algorithm>
#include <map>
#include <set>

namespace vesalius::record {
namespace {

constexpr const char* kPhases[] = {"data", "forward", "backward", "optimiser"};
constexpr std::size_t kFewest = 3;

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

std::vector<PhaseScore> PhaseScores(const Events& events, std::int64_t steps) {
  std::string newest;
  for (const Event& event : events.all)
    if (event.rank >= 0) newest = std::max(newest, event.token);
  std::map<int, std::string> hosts;
  std::map<std::string, std::map<int, std::map<std::int64_t, double>>> seconds;  // phase rank step
  std::int64_t last = 0;
  for (const Event& event : events.all) {
    if (event.rank < 0 || event.token != newest) continue;
    hosts[event.rank] = event.host;
    if (event.kind != "span" || event.step < 0) continue;
    for (const char* phase : kPhases)
      if (event.name == phase) {
        seconds[phase][event.rank][event.step] = event.dur;
        last = std::max(last, event.step);
      }
  }
  std::vector<PhaseScore> scores;
  for (const char* phase : kPhases) {
    const auto& by_rank = seconds[phase];
    if (hosts.size() < 2 || by_rank.size() < hosts.size()) continue;
    std::vector<std::int64_t> common;
    for (const auto& of_step : by_rank.begin()->second) {
      const std::int64_t step = of_step.first;
      const auto has = [step](const auto& rank) { return rank.second.contains(step); };
      if (step > last - steps && std::ranges::all_of(by_rank, has)) common.push_back(step);
    }
    if (common.size() < kFewest) continue;
    std::vector<double> medians;
    std::vector<PhaseScore> of_phase;
    for (const auto& [rank, of_step] : by_rank) {
      std::vector<double> values;
      for (const std::int64_t step : common) values.push_back(of_step.at(step));
      of_phase.push_back({phase, hosts[rank], rank, Median(std::move(values)), 1});
      medians.push_back(of_phase.back().seconds);
    }
    const double typical = Median(medians);
    for (PhaseScore& score : of_phase) {
      score.score = score.seconds > 0 ? typical / score.seconds : 1;
      scores.push_back(score);
    }
  }
  return scores;
}

}  // namespace vesalius::record
