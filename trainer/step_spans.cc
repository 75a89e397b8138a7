#include "trainer/step_spans.h"

#include "base/event_log.h"
#include "base/rank_page.h"

namespace vesalius::trainer {
namespace {

page::PhaseTimes PagePhases(const std::vector<std::pair<std::string, double>>& phases) {
  page::PhaseTimes times{};
  for (int p = 0; p < page::kPhases; ++p)
    for (const auto& [name, seconds] : phases)
      if (name == page::Name(static_cast<page::Phase>(p))) times[p] += static_cast<float>(seconds);
  return times;
}

}  // namespace

void StepSpans::Step(const StepRecord& record, double start,
                     const std::vector<std::pair<std::string, double>>& phases) {
  page::SetStep(record.step, PagePhases(phases));
  double total = 0;
  for (const auto& [phase, seconds] : phases) total += seconds;
  if (lead_)
    events::Scalar("step", record.loss, record.step, {{"dur", total}, {"samples", record.samples}});
  const bool slow = durations_.size() >= 10 && total > 2 * durations_.Median();
  durations_.Add(total);
  if (!slow && (every_ == 0 || record.step % every_ != 0)) return;
  events::Span("step", start, total, record.step, {{"slow", slow ? 1 : 0}});
  for (const auto& [phase, seconds] : phases) {
    events::Span(phase, start, seconds, record.step);
    start += seconds;
  }
}

}  // namespace vesalius::trainer
