#include "data/concepts.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace vesalius::data {
namespace {

constexpr double kLeftOut = 0.5;  // of the findings that an image does not have

// Findings that may be shown for row `row`: not its own, and of the others a random part.
std::vector<std::uint8_t> Shown(const Batch& batch, std::size_t row, std::size_t findings,
                                Random random) {
  std::vector<std::uint8_t> shown(findings);
  for (auto& one : shown) one = random.Bernoulli(1 - kLeftOut) ? 1 : 0;
  for (std::size_t i = 0; i < kRegions * findings; ++i)
    if (batch.region_labels[row * kRegions * findings + i] == 1) shown[i % findings] = 0;
  return shown;
}

}  // namespace

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

std::vector<std::int64_t> ConceptsForTraining(const Batch& batch, const ConceptGraph& graph,
                                              std::uint64_t seed) {
  const auto findings = static_cast<std::size_t>(graph.concepts - ConceptCount(0));
  std::vector<std::int64_t> out;
  for (std::size_t row = 0; row < static_cast<std::size_t>(batch.rows); ++row) {
    const std::vector<std::uint8_t> shown =
        Shown(batch, row, findings,
              Random(seed, Purpose::kConcepts, static_cast<std::uint64_t>(batch.state.samples),
                     static_cast<std::uint64_t>(batch.sample_ids[row])));
    for (const std::int64_t id : graph.of_region) {
      const bool finding = id >= FindingConcept(0);
      out.push_back(finding && !shown[static_cast<std::size_t>(id - FindingConcept(0))] ? -1 : id);
    }
  }
  return out;
}

}  // namespace vesalius::data
