// What a phantom study has, and what its report says of it: sentences and the labels that follow
// from them. What the report leaves unsaid stays -1, although it is known.
#pragma once

#include <vector>

#include "base/random.h"
#include "data/phantom/phantom_anatomy.h"
#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data::phantom {

struct Painted {
  int region = 0, finding = 0;
};

// The findings of one study, at most one a region; none in a normal study. No two of their regions
// overlap so much that one would hide the other.
std::vector<Painted> DrawFindings(const Layout& layout, Random& random);

// Fills sentences, region_labels, region_abnormal, image_labels, report and report_hash. Every
// painted finding is mentioned; absence and "normal" are stated only where they can be seen.
void WriteReport(const Layout& layout, const std::vector<Painted>& painted,
                 const Vocabulary& vocabulary, Random& random, Record& record);

}  // namespace vesalius::data::phantom
