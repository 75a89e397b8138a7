// What importers have in common: the options of a source, patient-wise splits, and the parts of a
// record that are made in the same way whatever the format.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/import/import_boxes.h"
#include "data/import/importer.h"
#include "data/record.h"

namespace vesalius::data {

struct SourceOptions {
  std::string in;     // file or folder of the source
  std::string boxes;  // side file with boxes of named regions (data/import/import_boxes.h), or ""
  std::string vocab;  // vocab.txt; empty = a WordPiece vocabulary learnt from the training texts
  int size = 64;      // side of the stored square, pixels
  double valid_share = 0, test_share = 0.2;  // of the patients, where the source has no split
  std::uint64_t seed = 1;                    // of the split

  // Everything that changes results, as words; `in` is left out.
  std::string Words() const;
};

// Error(kConfig) for shares that leave nothing to train on.
void CheckShares(const SourceOptions& options);

// Whole patients, drawn in the order of a keyed hash of their names: the first ones test, the next
// ones valid, the rest train. A share that was asked for gets at least one patient, as long as one
// is left to train on. The same patients give the same splits.
std::map<std::string, Split> DrawSplits(const std::set<std::string>& patients,
                                        const SourceOptions& options);

// "AP Supine", "PA", "L", "LATERAL" ...
View ParseView(std::string_view text);

// The report, which must hold something (Unusable otherwise), and its hash.
void SetReport(const std::string& text, Record* record);

// The image as it came, made grey and square.
void SetImage(const Image& image, int size, Record* record);

// Puts `boxes` into the record; what is left out becomes an entry of `source`.
void AddBoxes(const std::vector<PixelBox>& boxes, const std::string& source, Converted* converted);

// The pieces of `vocab`, or those learnt from `texts` when it is empty.
std::vector<std::string> Wordpieces(const std::string& vocab,
                                    const std::vector<std::string>& training_texts);

// Name, size and time of last change of a file, or that there is none.
std::string FileMark(const std::string& path);

}  // namespace vesalius::data
