// RUN/evaluating: the step whose evaluation is under way, and how often it was begun, so that one
// that ends the run does not end every start. Rank 0's; a disk that does not take it is no error.
#pragma once

#include <cstdint>
#include <string>

namespace vesalius::trainer {

// How often the evaluation of `step` was begun without an end.
int EvaluationsBegun(const std::string& run, std::int64_t step);
void MarkEvaluation(const std::string& run, std::int64_t step);
void UnmarkEvaluation(const std::string& run);

}  // namespace vesalius::trainer
