// What the phantom set can show and say: its ten findings, the regions in which each is painted,
// the wordings and sentence forms (docs/phantom.md).
#pragma once

#include <array>
#include <vector>

#include "data/record.h"
#include "data/text/vocabulary.h"

namespace vesalius::data::phantom {

// Region ids (the order of kRegionNames) that the anatomy is built from. The patient's left side
// follows the right one at a distance of kLeft.
enum Place : int {
  kLung = 0,
  kUpperZone,
  kMidZone,
  kLowerZone,
  kHilum,
  kApex,
  kAngle,
  kDiaphragm,
  kLeft = 8,
  kTrachea = 16,
  kSpine,
  kRightClavicle,
  kLeftClavicle,
  kAorticArch,
  kMediastinum,
  kUpperMediastinum,
  kSvc,
  kHeart,
  kCavoatrial,
  kRightAtrium,
  kCarina,
  kAbdomen
};

enum Shown : int {
  kConsolidation = 0,
  kReticular,
  kNodule,
  kPneumothorax,
  kEffusion,
  kAtelectasis,
  kCalcification,
  kCatheter,
  kFracture,
  kEnlargement
};
inline constexpr int kFindings = 10;

// The findings that are painted into each region; empty for regions that only inherit.
const std::array<std::vector<int>, kRegions>& Paintable();

// Findings, wordings, parents, forms, and word pieces learnt from every sentence that the forms can
// make (all training sentences are among them) and from image-level prompts.
Vocabulary MakeVocabulary();

}  // namespace vesalius::data::phantom
