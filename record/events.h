// Reads the run record back: all events of a run folder (base/event_log.h), in the order of time.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vesalius::record {

struct Event {
  double t = 0, dur = 0;  // seconds since 1970; of a span its start
  double value = 0;
  std::int64_t step = -1;  // -1: of no step
  int rank = -1;           // -1: not of a rank
  std::string token, host, kind, name;
  nlohmann::json fields;  // the whole line

  double end() const { return kind == "span" ? t + dur : t; }
};

struct Events {
  std::vector<Event> all;    // by t
  std::int64_t torn = 0;     // lines that are no event: cut off by a kill
  std::int64_t dropped = 0;  // that the writers could not write
};

// Of RUN/events/*.jsonl. Error(kInputMissing) when there are none.
Events ReadEvents(const std::string& run);

}  // namespace vesalius::record
