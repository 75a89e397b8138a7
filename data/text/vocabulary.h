// The words of a data set: what its manifest says about labels, findings and how to phrase them.
// Plain struct; filled from the manifest (data/shards/manifest.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

struct Finding {
  std::string name;                   // e.g. "pleural effusion"
  std::vector<std::string> synonyms;  // wordings that mean the same; the name itself comes first
};

struct Vocabulary {
  std::vector<Finding> findings;          // F entries; may be empty (pairs without region labels)
  std::vector<std::string> image_labels;  // K entries; may be empty
  // can[region * F + finding]: the finding may be named for the region.
  std::vector<std::uint8_t> can;
  // Parent region of each region, or -1: findings propagate to the parent (child -> parent).
  std::array<int, kRegions> parent;
  // Sentence forms with {f} (a wording of the finding) and {r} (the region's name).
  std::vector<std::string> positive_forms, negative_forms, normal_forms;
  std::vector<std::string> wordpieces;  // BERT vocabulary, one token an entry; index = id

  Vocabulary() { parent.fill(-1); }
};

}  // namespace vesalius::data
