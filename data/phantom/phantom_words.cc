#include "data/phantom/phantom_words.h"

#include "base/strings.h"
#include "data/anatomy.h"
#include "data/loader/region_text.h"
#include "data/text/tokenizer.h"

namespace vesalius::data::phantom {
namespace {

constexpr std::size_t kWordPieces = 400;

std::array<std::vector<int>, kRegions> MakePaintable() {
  std::array<std::vector<int>, kRegions> out;
  for (const int side : {0, static_cast<int>(kLeft)}) {
    out[kApex + side] = {kConsolidation, kNodule, kPneumothorax};
    out[kUpperZone + side] = {kConsolidation, kReticular, kNodule, kPneumothorax};
    out[kMidZone + side] = {kConsolidation, kReticular, kNodule, kAtelectasis};
    out[kLowerZone + side] = {kConsolidation, kReticular, kAtelectasis};
    out[kAngle + side] = {kEffusion};
    out[kHilum + side] = {kEnlargement, kNodule};
    out[kDiaphragm + side] = {kCalcification};
  }
  out[kRightClavicle] = out[kLeftClavicle] = out[kSpine] = {kFracture};
  out[kTrachea] = out[kSvc] = out[kCavoatrial] = out[kRightAtrium] = {kCatheter};
  out[kAorticArch] = {kCalcification, kEnlargement};
  out[kUpperMediastinum] = {kNodule};
  out[kHeart] = {kEnlargement, kCalcification};
  out[kCarina] = {kEnlargement};
  out[kAbdomen] = {kCatheter, kCalcification};
  return out;
}

// Every sentence of the set and the image-level prompts, each once.
std::vector<std::string> AllTexts(const Vocabulary& vocabulary) {
  std::vector<std::string> texts;
  const auto add = [&](const std::string& form, const std::string& finding, const char* region) {
    texts.push_back(Replace(Replace(form, "{f}", finding), "{r}", region));
  };
  for (int region = 0; region < kRegions; ++region) {
    const char* name = kRegionNames[region];
    for (const std::string& form : vocabulary.normal_forms) add(form, "", name);
    for (int f = 0; f < kFindings; ++f) {
      if (vocabulary.can[region * kFindings + f] == 0) continue;
      for (const std::string& wording : vocabulary.findings[f].synonyms) {
        for (const std::string& form : vocabulary.positive_forms) add(form, wording, name);
        for (const std::string& form : vocabulary.negative_forms) add(form, wording, name);
      }
    }
  }
  for (const Finding& finding : vocabulary.findings) {
    for (const std::string& wording : finding.synonyms) {
      for (const char* form : {"there is {f}.", "there is no {f}.", "no evidence of {f}."}) {
        add(form, wording, "");
      }
    }
  }
  return texts;
}

}  // namespace

const std::array<std::vector<int>, kRegions>& Paintable() {
  static const std::array<std::vector<int>, kRegions> paintable = MakePaintable();
  return paintable;
}

Vocabulary MakeVocabulary() {
  Vocabulary out;
  for (const auto& [name, other] : std::initializer_list<std::pair<const char*, const char*>>{
           {"consolidation", "airspace opacity"},
           {"reticular markings", "interstitial pattern"},
           {"nodule", "rounded lesion"},
           {"pneumothorax", "pleural air"},
           {"pleural effusion", "layering fluid"},
           {"atelectasis", "band like collapse"},
           {"calcification", "calcified foci"},
           {"catheter", "support line"},
           {"fracture", "cortical break"},
           {"enlargement", "increased size"}}) {
    out.findings.push_back({name, {name, other}});
    out.image_labels.push_back(name);
  }
  out.parent = AnatomicalParents();
  out.can.assign(kRegions * kFindings, 0);
  for (int region = 0; region < kRegions; ++region) {
    for (const int f : Paintable()[region]) {
      out.can[region * kFindings + f] = 1;
      if (out.parent[region] >= 0) out.can[out.parent[region] * kFindings + f] = 1;
    }
  }
  out.positive_forms = {"{f} in the {r}.", "there is {f} in the {r}.", "the {r} shows {f}."};
  out.negative_forms = {"no {f} in the {r}.", "there is no {f} in the {r}.",
                        "the {r} shows no {f}."};
  out.normal_forms = {"the {r} is normal.", "the {r} is unremarkable.", "normal {r}."};
  out.wordpieces = LearnVocabulary(AllTexts(out), kWordPieces);
  return out;
}

}  // namespace vesalius::data::phantom
