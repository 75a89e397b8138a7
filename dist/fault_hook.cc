#include "dist/fault_hook.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "base/error.h"

namespace vesalius::dist {
namespace {

struct Plan {
  int rank = -1;
  long number = -1;
  bool met = false;
};

Plan ReadPlan() {
  const char* text = std::getenv("VESALIUS_TEST_DIE_AT");
  if (text == nullptr || *text == '\0') return {};
  const std::vector<std::string> parts = Split(text, ':');
  Require(parts.size() == 2 || (parts.size() == 3 && parts[2] == "met"), ExitCode::kConfig,
          "VESALIUS_TEST_DIE_AT=", text, " is not RANK:NUMBER or RANK:NUMBER:met");
  return {std::atoi(parts[0].c_str()), std::atol(parts[1].c_str()), parts.size() == 3};
}

}  // namespace

bool DiesInside(int rank) {
  static const Plan plan = ReadPlan();
  if (plan.rank != rank) return false;
  static std::atomic<long> calls = 0;
  if (calls++ != plan.number) return false;
  if (!plan.met) Die();
  return true;
}

void Die() {
  ::raise(SIGKILL);
  ::_exit(1);
}

}  // namespace vesalius::dist
