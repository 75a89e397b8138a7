#include "launch/agent/deadlines.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace vesalius::launch {
namespace {

// Seconds, by section: init covers imports of a cold file system and the meeting of all ranks.
constexpr std::array<double, page::kSections> kFloors = {300, 600, 600, 60, 600, 60, 600, 120, 120};
constexpr double kTimesLongest = 5;

int SectionOf(const std::string& name) {
  for (int s = 0; s < page::kSections; ++s)
    if (name == page::Name(static_cast<page::Section>(s))) return s;
  return -1;
}

}  // namespace

Deadlines::Deadlines(const std::vector<std::string>& given) {
  for (const std::string& text : given) {
    const std::size_t equals = text.find('=');
    const int section = SectionOf(text.substr(0, equals));
    const double seconds = equals == std::string::npos ? 0 : std::atof(text.c_str() + equals + 1);
    Require(section >= 0 && seconds > 0, ExitCode::kUsage, "--deadline ", text,
            " is not SECTION=SECONDS; sections: init, load, warm-up, step, eval, stage, write, "
            "commit, exit");
    given_[section] = seconds;
  }
}

double Deadlines::Limit(page::Section section) const {
  const int s = static_cast<int>(section);
  if (given_[s] > 0) return given_[s];
  // The first steps differ from the later ones, but not by more than tenfold.
  const double steps =
      section == page::Section::kWarmUp ? 2 * longest_[static_cast<int>(page::Section::kStep)] : 0;
  return std::max(kFloors[s], kTimesLongest * std::max(longest_[s], steps));
}

void Deadlines::Learn(const RankView& rank) {
  for (int s = 0; s < page::kSections; ++s) longest_[s] = std::max(longest_[s], rank.longest[s]);
}

void Deadlines::Load(const std::string& path) {
  if (!Exists(path)) return;
  const nlohmann::json seen = nlohmann::json::parse(ReadFile(path), nullptr, false);
  if (!seen.is_object()) return;
  for (int s = 0; s < page::kSections; ++s)
    if (const auto found = seen.find(page::Name(static_cast<page::Section>(s)));
        found != seen.end() && found->is_number())
      longest_[s] = std::max(longest_[s], found->get<double>());
}

void Deadlines::Save(const std::string& path) const {
  nlohmann::json seen = nlohmann::json::object();
  for (int s = 0; s < page::kSections; ++s)
    if (longest_[s] > 0) seen[page::Name(static_cast<page::Section>(s))] = longest_[s];
  WriteFileAtomic(path, seen.dump() + "\n");
}

}  // namespace vesalius::launch
