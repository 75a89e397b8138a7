#include "trainer/findings.h"

#include "base/event_log.h"
#include "base/log.h"
#include "base/strings.h"

namespace vesalius::trainer {
namespace {

const char* ActionOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSkip:
      return "its update is skipped";
    case Verdict::kRollBack:
      return "the run goes back to the last checkpoint";
    default:
      return "told of only";
  }
}

}  // namespace

void TellFinding(std::int64_t step, const std::string& finding, Verdict verdict,
                 std::span<const data::Batch> batches, bool lead) {
  if (finding.empty()) return;
  const char* action = ActionOf(verdict);
  if (lead) log::Warning("step ", step, ": ", finding, "; ", action);
  std::string samples;
  for (const data::Batch& batch : batches)
    for (const std::int64_t id : batch.sample_ids)
      samples += StrCat(samples.empty() ? "" : " ", id);
  events::Failure("numbers", step,
                  {{"finding", finding}, {"action", action}, {"samples", samples}});
}

void TellReplicas(std::int64_t step, const ReplicaCheck& check, bool lead) {
  if (lead) log::Warning("step ", step, ": ", check.text, "; silent corruption of memory?");
  std::string ranks;
  for (const int rank : check.wrong) ranks += StrCat(ranks.empty() ? "" : " ", rank);
  events::Failure("replicas", step,
                  {{"finding", check.text}, {"ranks", ranks}, {"tensor", check.tensor}});
}

}  // namespace vesalius::trainer
