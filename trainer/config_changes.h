// Which keys of a configuration may change when a run goes on (docs/config.md marks them).
#pragma once

#include <string>
#include <vector>

namespace vesalius::trainer {

// Keys whose values differ between two resolved texts and may not change when a run goes on, as
// "trainer.lr (0.001 -> 0.002)".
std::vector<std::string> ForbiddenChanges(const std::string& before, const std::string& after);

}  // namespace vesalius::trainer
