// The run record as a trace that chrome://tracing and ui.perfetto.dev open: a process for each rank
// and agent, a track for each attempt, spans and instants with all their fields.
#pragma once

#include <string>

#include "record/events.h"

namespace vesalius::record {

// JSON; times in microseconds from the first event.
std::string TraceOf(const Events& events);

}  // namespace vesalius::record
