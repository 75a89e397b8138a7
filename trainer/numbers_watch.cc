#include "trainer/numbers_watch.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace vesalius::trainer {
namespace {

constexpr std::int64_t kHistory = 1000;  // steps that the limits are over

// A quarter of a window has to be seen before anything counts as odd.
bool Settled(const RobustWindow& window, std::int64_t length) {
  return static_cast<std::int64_t>(window.size()) >= std::max<std::int64_t>(8, length / 4);
}

// Adds `step` and forgets those of more than kHistory steps ago; how many remain.
std::int64_t Remember(std::deque<std::int64_t>* steps, std::int64_t step) {
  steps->push_back(step);
  std::erase_if(*steps, [&](std::int64_t old) { return old <= step - kHistory; });
  return static_cast<std::int64_t>(steps->size());
}

}  // namespace

NumbersWatch::NumbersWatch(const WatchConfig& config)
    : config_(config),
      losses_(static_cast<std::size_t>(config.window)),
      norms_(static_cast<std::size_t>(config.window)) {}

Verdict NumbersWatch::Judge(std::int64_t step, double loss, double grad_norm, bool can_roll_back) {
  finding_.clear();
  if (!std::isfinite(loss) || !std::isfinite(grad_norm)) {
    finding_ = StrCat("loss ", loss, " or gradient norm ", grad_norm, " is not finite");
    Skip(step);
    return Verdict::kSkip;
  }
  if (config_.spike > 0 && Settled(losses_, config_.window)) {
    const double of_loss = losses_.Score(loss), of_norm = norms_.Score(grad_norm);
    if (std::max(of_loss, of_norm) > config_.spike) {
      ++spikes_;
      finding_ = StrCat("loss ", loss, " (score ", Fixed(of_loss, 1), ") or gradient norm ",
                        grad_norm, " (score ", Fixed(of_norm, 1), ") stands out, medians ",
                        losses_.Median(), " and ", norms_.Median());
      if (config_.action == SpikeAction::kRollBack && can_roll_back) {
        CountRollBack(step, finding_);
        return Verdict::kRollBack;
      }
      if (config_.action != SpikeAction::kFlag) {
        Skip(step);
        return Verdict::kSkip;
      }
    }
  }
  losses_.Add(loss);
  norms_.Add(grad_norm);
  return Verdict::kApply;
}

void NumbersWatch::Skip(std::int64_t step) {
  ++skips_;
  const std::int64_t recent = Remember(&skipped_, step);
  Require(recent <= config_.max_skipped, ExitCode::kNumericalStop, "step ", step, ": ", finding_,
          "; with it ", recent, " updates of the last ", kHistory,
          " steps were skipped, watch.max_skipped is ", config_.max_skipped,
          ". Lower trainer.lr or set trainer.clip, and start again from the last checkpoint");
}

void NumbersWatch::CountRollBack(std::int64_t step, const std::string& why) {
  ++rollbacks_;
  const std::int64_t recent = Remember(&rolled_back_, step);
  Require(recent <= config_.max_rollbacks, ExitCode::kNumericalStop, "step ", step, ": ", why,
          "; with it the run would go back to a checkpoint for the ", recent, ". time in ",
          kHistory, " steps, watch.max_rollbacks is ", config_.max_rollbacks);
}

void NumbersWatch::Restart() {
  losses_.Clear();
  norms_.Clear();
}

std::vector<std::pair<std::string, double>> NumbersWatch::Counts() const {
  return {{"skipped", static_cast<double>(skips_)},
          {"spikes", static_cast<double>(spikes_)},
          {"rollbacks", static_cast<double>(rollbacks_)}};
}

std::string NumbersWatch::Serialize() const {
  const nlohmann::json state = {
      {"losses", losses_.values()},  {"norms", norms_.values()}, {"skipped", skipped_},
      {"rolled_back", rolled_back_}, {"skips", skips_},          {"spikes", spikes_},
      {"rollbacks", rollbacks_}};
  return state.dump();  // floats round-trip
}

void NumbersWatch::Parse(const std::string& text, bool keep_counts) {
  try {
    const nlohmann::json state = nlohmann::json::parse(text);
    Restart();
    for (const double value : state.at("losses")) losses_.Add(value);
    for (const double value : state.at("norms")) norms_.Add(value);
    if (keep_counts) return;
    skipped_ = state.at("skipped").get<std::deque<std::int64_t>>();
    rolled_back_ = state.at("rolled_back").get<std::deque<std::int64_t>>();
    skips_ = state.at("skips");
    spikes_ = state.at("spikes");
    rollbacks_ = state.at("rollbacks");
  } catch (const nlohmann::json::exception& error) {
    Fail(ExitCode::kInvalidData, "the checkpoint's state of the numbers watch: ", error.what());
  }
}

}  // namespace vesalius::trainer
