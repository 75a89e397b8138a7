#include "slurm/finding.h"

#include <array>
#include <iomanip>
#include <sstream>

namespace vesalius::slurm {
namespace {

constexpr std::array<const char*, 3> kWords = {"ok", "note", "BAD"};

}  // namespace

nlohmann::ordered_json ToJson(const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings)
    list.push_back({{"level", kWords.at(finding.level)},
                    {"subject", finding.subject},
                    {"found", finding.found},
                    {"advice", finding.advice}});
  return list;
}

Findings FromJson(const nlohmann::json& list) {
  Findings findings;
  for (const auto& entry : list) {
    const std::string word = entry.at("level");
    const auto level = word == "ok"     ? Finding::kOk
                       : word == "note" ? Finding::kNote
                                        : Finding::kBad;
    findings.push_back({level, entry.at("subject"), entry.at("found"), entry.at("advice")});
  }
  return findings;
}

std::string ToText(const Finding& finding) {
  std::ostringstream out;
  out << std::left << std::setw(6) << kWords.at(finding.level) << std::setw(15) << finding.subject
      << finding.found << "\n";
  if (!finding.advice.empty())
    out << std::setw(21) << ""
        << "-> " << finding.advice << "\n";
  return out.str();
}

}  // namespace vesalius::slurm
