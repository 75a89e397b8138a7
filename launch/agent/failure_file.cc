#include "launch/agent/failure_file.h"

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/wall_clock.h"

namespace vesalius::launch {
namespace {

nlohmann::json AsJson(const RankView& rank) {
  const int section = rank.Section();
  return {{"rank", rank.rank},
          {"host", rank.host},
          {"section", rank.SectionName()},
          {"seconds", section < 0 ? 0 : rank.inside[section]},
          {"step", rank.step},
          {"collective", rank.waiting > 0 ? rank.waiting_name : rank.issued_name},
          {"number", rank.waiting > 0 ? rank.waiting : rank.issued},
          {"waiting", rank.waiting > 0},
          {"stopped", rank.stopped},
          {"ended", rank.ended}};
}

nlohmann::json Stacks(const std::vector<RankView>& ranks) {
  std::map<std::vector<std::string>, std::vector<int>> by_calls;
  for (const RankView& rank : ranks)
    if (!rank.stack.empty()) by_calls[rank.stack].push_back(rank.rank);
  nlohmann::json stacks = nlohmann::json::array();
  for (const auto& [calls, who] : by_calls) stacks.push_back({{"ranks", who}, {"calls", calls}});
  return stacks;
}

}  // namespace

void WriteFailure(const std::string& run, const std::string& token, int attempt, const Cause& cause,
                  const std::vector<RankView>& ranks, const Decision& decision) {
  nlohmann::json found = {{"kind", Name(cause.kind)},
                          {"node", cause.node},
                          {"host", cause.host},
                          {"message", cause.message},
                          {"line", cause.Line()}};
  if (cause.rank >= 0) {
    found["rank"] = cause.rank;
    found["section"] = cause.section;
    found["step"] = cause.step;
    found["collective"] = cause.collective;
    found["number"] = cause.number;
  }
  if (cause.signal > 0) found["signal"] = cause.signal;
  if (cause.kind == Cause::kFailed || cause.kind == Cause::kLaunch) found["code"] = cause.code;
  if (cause.kind == Cause::kHang) {
    found["seconds"] = cause.seconds;
    found["stopped"] = cause.stopped;
  }
  nlohmann::json failure = {{"time", WallNow()},
                            {"token", token},
                            {"attempt", attempt},
                            {"cause", found},
                            {"ranks", nlohmann::json::array()},
                            {"action", decision.action}};
  for (const RankView& rank : ranks) failure["ranks"].push_back(AsJson(rank));
  if (cause.kind == Cause::kHang) failure["stacks"] = Stacks(ranks);
  if (!decision.again) failure["code"] = decision.code;
  WriteFileAtomic(run + "/failure.json",
                  failure.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace vesalius::launch
