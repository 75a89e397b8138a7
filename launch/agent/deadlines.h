// How long a rank may be in a section: max(floor, 5 x the longest seen in this run), where what was
// seen outlives attempts in a file of the run folder. A limit that was given by hand stands as it
// is. Not thread-safe.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "launch/agent/report.h"

namespace vesalius::launch {

class Deadlines {
 public:
  // `given`: "step=5" sets a limit of 5 s. Error(kUsage) for anything else.
  explicit Deadlines(const std::vector<std::string>& given);

  double Limit(page::Section section) const;  // seconds
  void Learn(const RankView& rank);
  // A file that is missing or damaged teaches nothing.
  void Load(const std::string& path);
  void Save(const std::string& path) const;

 private:
  std::array<double, page::kSections> given_{}, longest_{};  // given_: 0 where nothing was
};

}  // namespace vesalius::launch
