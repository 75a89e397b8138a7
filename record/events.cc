#include "record/events.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/json_fields.h"

namespace vesalius::record {
namespace {

using Json = nlohmann::json;

// False: the line is none.
bool Parse(const std::string& line, Event* event) {
  const Json fields = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!fields.is_object() || !fields.contains("t") || !fields["t"].is_number()) return false;
  event->t = NumberOr(fields, "t", 0);
  event->dur = NumberOr(fields, "dur", 0);
  event->value = NumberOr(fields, "value", 0);
  event->step = static_cast<std::int64_t>(NumberOr(fields, "step", -1));
  event->rank = static_cast<int>(NumberOr(fields, "rank", -1));
  event->token = TextOr(fields, "token", "");
  event->host = TextOr(fields, "host", "");
  event->kind = TextOr(fields, "kind", "");
  event->name = TextOr(fields, "name", "");
  event->fields = fields;
  return !event->kind.empty() && !event->name.empty();
}

}  // namespace

Events ReadEvents(const std::string& run) {
  const std::string folder = run + "/events";
  Events events;
  int files = 0;
  if (IsDir(folder)) {
    for (const std::string& name : ListDir(folder)) {
      if (!name.ends_with(".jsonl")) continue;
      ++files;
      std::map<std::string, std::int64_t> dropped;  // totals, by attempt
      for (const std::string& line : Split(ReadFile(StrCat(folder, "/", name)), '\n')) {
        if (line.empty()) continue;
        Event event;
        if (!Parse(line, &event)) {
          ++events.torn;
          continue;
        }
        if (event.name == "events.dropped")
          dropped[event.token] = static_cast<std::int64_t>(event.value);
        events.all.push_back(std::move(event));
      }
      for (const auto& [token, count] : dropped) events.dropped += count;
    }
  }
  Require(files > 0, ExitCode::kInputMissing, folder,
          " holds no events (*.jsonl): is it the folder of a run?");
  std::ranges::stable_sort(events.all, {}, &Event::t);
  return events;
}

}  // namespace vesalius::record
