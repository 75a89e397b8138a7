// Concepts that knowledge rows are kept for, and which of them belong to a region (docs/model.md,
// module 8). Ids: 0 is nothing; 1 + r the anatomy of region r; then the findings in the manifest's
// order. A region's neighbours are the findings that the training split reports for it.
//
// Labels do not leak: what a region is shown follows from the training split as a whole and is the
// same for every image, in training and after. Nothing is chosen, or left out, by an image's own
// findings; leaving them out would tell of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace vesalius::data {

inline std::int64_t AnatomyConcept(int region) { return 1 + region; }
inline std::int64_t FindingConcept(std::size_t finding) {
  return 1 + kRegions + static_cast<std::int64_t>(finding);
}
inline std::int64_t ConceptCount(std::size_t findings) { return FindingConcept(findings); }

// The name of every concept but nothing, from id 1 on: regions, then findings.
std::vector<std::string> ConceptNames(const Vocabulary& vocabulary);

struct ConceptGraph {
  std::int64_t concepts = 0;            // ConceptCount of the data set
  std::int64_t each = 0;                // of a region at most
  std::vector<std::int64_t> of_region;  // [29, each]: the anatomy, then findings; -1 = none
};
std::string SerializeConceptGraph(const ConceptGraph& graph);
ConceptGraph ParseConceptGraph(const std::string& text);  // Error(kInvalidData)

// [29, findings]: adds how many of `records` report the finding for the region.
void CountFindings(const Record& record, std::vector<std::int64_t>* counts);

// The most frequent findings of each region, at most each - 1; ties to the lower finding.
ConceptGraph MakeConceptGraph(const std::vector<std::int64_t>& counts, std::size_t findings,
                              std::int64_t each);

}  // namespace vesalius::data
