// One line of `vesalius doctor`: what was looked at, what was found, and what to do about it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vesalius::slurm {

struct Finding {
  enum Level { kOk, kNote, kBad };  // kNote: training works, but somebody should know
  Level level = kOk;
  std::string subject;      // "names"
  std::string found;        // "n1 is 10.0.0.1"
  std::string advice = "";  // empty when kOk
};
using Findings = std::vector<Finding>;

nlohmann::ordered_json ToJson(const Findings& findings);
Findings FromJson(const nlohmann::json& list);

// "ok    names    n1 is 10.0.0.1", advice on a line of its own.
std::string ToText(const Finding& finding);

}  // namespace vesalius::slurm
