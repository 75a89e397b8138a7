#include "data/record.h"

#include <cctype>

#include "base/error.h"
#include "base/strings.h"

namespace vesalius::data {

const std::array<const char*, kRegions> kRegionNames = {
    "right lung",
    "right upper lung zone",
    "right mid lung zone",
    "right lower lung zone",
    "right hilar structures",
    "right apical zone",
    "right costophrenic angle",
    "right hemidiaphragm",
    "left lung",
    "left upper lung zone",
    "left mid lung zone",
    "left lower lung zone",
    "left hilar structures",
    "left apical zone",
    "left costophrenic angle",
    "left hemidiaphragm",
    "trachea",
    "spine",
    "right clavicle",
    "left clavicle",
    "aortic arch",
    "mediastinum",
    "upper mediastinum",
    "svc",
    "cardiac silhouette",
    "cavoatrial junction",
    "right atrium",
    "carina",
    "abdomen",
};

int RegionId(std::string_view name) {
  const std::string wanted = NormalisedText(name);
  for (int region = 0; region < kRegions; ++region)
    if (wanted == kRegionNames[region]) return region;
  return -1;
}

const char* SplitName(Split split) {
  switch (split) {
    case Split::kTrain:
      return "train";
    case Split::kValid:
      return "valid";
    case Split::kTest:
      return "test";
  }
  return "unknown";
}

Split ParseSplit(std::string_view name) {
  const std::string word = Lower(Trim(name));
  if (word == "train" || word == "training") return Split::kTrain;
  if (word == "valid" || word == "validate" || word == "validation" || word == "val" ||
      word == "dev")
    return Split::kValid;
  if (word == "test" || word == "testing") return Split::kTest;
  Fail(ExitCode::kInvalidData, "unknown split '", name, "': use train, valid or test");
}

std::string NormalisedText(std::string_view text) {
  std::string result;
  bool gap = false;
  for (const unsigned char c : text) {
    if (std::isspace(c)) {
      gap = !result.empty();
      continue;
    }
    if (gap) result += ' ';
    gap = false;
    result += static_cast<char>(std::tolower(c));
  }
  return result;
}

}  // namespace vesalius::data
