#include "trainer/evaluation_mark.h"

#include <cstdio>
#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::trainer {
namespace {

std::string PathOf(const std::string& run) { return run + "/evaluating"; }

}  // namespace

int EvaluationsBegun(const std::string& run, std::int64_t step) {
  std::ifstream file(PathOf(run));
  std::int64_t its = -1;
  int times = 0;
  return file >> its >> times && its == step ? times : 0;
}

void MarkEvaluation(const std::string& run, std::int64_t step) {
  try {
    WriteFileAtomic(PathOf(run), StrCat(step, " ", EvaluationsBegun(run, step) + 1, "\n"));
  } catch (const Error&) {
  }
}

void UnmarkEvaluation(const std::string& run) { std::remove(PathOf(run).c_str()); }

}  // namespace vesalius::trainer
