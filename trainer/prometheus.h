// A run's state for the node exporter's textfile collector: a file in Prometheus' text format,
// replaced as a whole (temporary name, rename). Names: docs/observability.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/run_record.h"

namespace vesalius::trainer {

// What the file says beside the newest step.
struct PrometheusState {
  std::string run;  // folder, the label `run`
  std::int64_t total_steps = 0, committed_step = 0, dropped = 0;
  int attempt = 0;
  double updated = 0;                                      // seconds since 1970
  std::vector<std::pair<std::string, double>> evaluation;  // of the newest one, by name
};

std::string PrometheusText(const StepRecord& record, const PrometheusState& state);

// Replaces `path`, whatever it was. Error(kCannotCreate).
void WritePrometheus(const std::string& path, const std::string& text);

}  // namespace vesalius::trainer
