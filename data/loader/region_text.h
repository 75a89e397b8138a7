// Which sentence stands for a region in the fine loss, and whether it is true of it (model.md 3.5:
// label generation of Anatomy-VLM). Keyed by (seed, epoch, sample, region): independent of workers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/random.h"
#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data {

struct RegionText {
  std::string text;
  std::int64_t finding = kUnknownStatement;  // what it says: finding index or a k*Statement
  std::int64_t polarity = 0;
  bool truth = true;  // it is true of this region
};

// The text of `region` of `record`, or nothing when the row is left out: no sentence and no valid
// box; abnormal only through a child; nothing to say.
std::optional<RegionText> ChooseRegionText(const Record& record, int region,
                                           const Vocabulary& vocabulary, double perturb,
                                           Random& random);

// A sentence form with {f} and {r} filled in.
std::string FillForm(const std::string& form, const std::string& finding, int region);

// "<finding> in the <region>." by a positive (polarity 1) or negative (0) form; the first form and
// wording when `random` is null (prompts), else drawn.
std::string FindingSentence(const Vocabulary& vocabulary, int region, int finding, int polarity,
                            Random* random);
// "the <region> is normal." likewise.
std::string NormalSentence(const Vocabulary& vocabulary, int region, Random* random);

}  // namespace vesalius::data
