#include "record/trace.h"

#include <cmath>
#include <map>

#include "base/strings.h"

namespace vesalius::record {

std::string TraceOf(const Events& events) {
  using Json = nlohmann::ordered_json;
  const double first = events.all.empty() ? 0 : events.all.front().t;
  std::map<std::string, int> processes, attempts;  // numbers by name
  Json list = Json::array();
  for (const Event& event : events.all) {
    const std::string process =
        event.rank >= 0 ? StrCat("rank ", event.rank, " ", event.host) : event.host;
    const auto [pid, is_new] = processes.try_emplace(process, static_cast<int>(processes.size()));
    if (is_new)
      list.push_back({{"ph", "M"},
                      {"name", "process_name"},
                      {"pid", pid->second},
                      {"args", {{"name", process}}}});
    const int track =
        attempts.try_emplace(event.token, static_cast<int>(attempts.size())).first->second;
    Json entry = {{"name", event.name},
                  {"pid", pid->second},
                  {"tid", track},
                  {"ts", std::llround(1e6 * (event.t - first))}};
    if (event.kind == "span") {
      entry["ph"] = "X";
      entry["dur"] = std::llround(1e6 * event.dur);
    } else if (event.kind == "scalar") {
      entry["ph"] = "C";
    } else {
      entry["ph"] = "i";
      entry["s"] = "p";  // across the process
    }
    if (event.kind == "scalar")
      entry["args"] = {{"value", event.value}};
    else
      for (const auto& [key, value] : event.fields.items())
        if (key != "t" && key != "dur" && key != "name" && key != "kind")
          entry["args"][key] = value;
    list.push_back(std::move(entry));
  }
  return Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(list)}}.dump() + "\n";
}

}  // namespace vesalius::record
