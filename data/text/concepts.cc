#include "data/text/concepts.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace vesalius::data {
std::vector<std::string> ConceptNames(const Vocabulary& vocabulary) {
  std::vector<std::string> names(kRegionNames.begin(), kRegionNames.end());
  for (const Finding& finding : vocabulary.findings) names.push_back(finding.name);
  return names;
}

std::string SerializeConceptGraph(const ConceptGraph& graph) {
  std::string text = StrCat(graph.concepts, " ", graph.each);
  for (const std::int64_t id : graph.of_region) text += StrCat(" ", id);
  return text;
}

ConceptGraph ParseConceptGraph(const std::string& text) {
  std::vector<std::int64_t> numbers;
  for (const std::string& word : vesalius::Split(text, ' ')) {
    char* end = nullptr;
    numbers.push_back(std::strtoll(word.c_str(), &end, 10));
    Require(!word.empty() && *end == '\0', ExitCode::kInvalidData,
            "the checkpoint's concepts cannot be read: '", word, "' is no number");
  }
  ConceptGraph graph;
  if (numbers.size() >= 2) {
    graph.concepts = numbers[0];
    graph.each = numbers[1];
    graph.of_region.assign(numbers.begin() + 2, numbers.end());
  }
  const bool sized = graph.each >= 1 && graph.each <= 1 << 10 &&
                     graph.of_region.size() == static_cast<std::size_t>(kRegions * graph.each);
  Require(sized && std::all_of(graph.of_region.begin(), graph.of_region.end(),
                               [&](std::int64_t id) { return id >= -1 && id < graph.concepts; }),
          ExitCode::kInvalidData, "the checkpoint's concepts do not fit ", kRegions, " regions");
  return graph;
}

void CountFindings(const Record& record, std::vector<std::int64_t>* counts) {
  for (std::size_t i = 0; i < counts->size(); ++i) (*counts)[i] += record.region_labels[i] == 1;
}

ConceptGraph MakeConceptGraph(const std::vector<std::int64_t>& counts, std::size_t findings,
                              std::int64_t each) {
  ConceptGraph graph{ConceptCount(findings), each, {}};
  for (int region = 0; region < kRegions; ++region) {
    const std::int64_t* of = counts.data() + region * static_cast<std::ptrdiff_t>(findings);
    std::vector<std::size_t> order(findings);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return of[a] > of[b]; });
    graph.of_region.push_back(AnatomyConcept(region));
    for (std::int64_t i = 0; i + 1 < each; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const bool linked = at < findings && of[order[at]] > 0;
      graph.of_region.push_back(linked ? FindingConcept(order[at]) : -1);
    }
  }
  return graph;
}

}  // namespace vesalius::data
