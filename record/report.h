// A run as one HTML page that needs no network: curves, faults on the time line, phases by rank,
// where the time went, pictures. Readable on a phone.
#pragma once

#include <string>
#include <vector>

#include "record/events.h"

namespace vesalius::record {

// Of RUN/events, metrics.jsonl and evals.jsonl. `pictures`: PNG files to show, with predicted
// boxes. Errors as ReadEvents and AccountFor.
std::string ReportPage(const std::string& run, const std::vector<std::string>& pictures);

}  // namespace vesalius::record
