// Concepts of regions: neighbours from counts.
#include "data/text/concepts.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/util/message_of.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kFindings = 4;

ConceptGraph Graph(std::int64_t each) {
  std::vector<std::int64_t> counts(kRegions * kFindings, 0);
  for (int region = 0; region < kRegions; ++region) {
    counts[region * kFindings + 2] = 9;
    counts[region * kFindings + 0] = 5;
    counts[region * kFindings + 3] = 5;
  }
  counts[kFindings] = counts[kFindings + 2] = counts[kFindings + 3] = 0;  // region 1 has none
  return MakeConceptGraph(counts, kFindings, each);
}

TEST(ConceptGraph, TakesTheMostFrequentFindings) {
  const ConceptGraph graph = Graph(4);
  EXPECT_EQ(graph.concepts, 1 + kRegions + 4);
  ASSERT_EQ(graph.of_region.size(), std::size_t{kRegions * 4});
  const auto row = [&](const ConceptGraph& of, int region) {
    const auto begin = of.of_region.begin() + region * of.each;
    return std::vector<std::int64_t>(begin, begin + of.each);
  };
  EXPECT_EQ(row(graph, 0), (std::vector<std::int64_t>{1, 32, 30, 33}));
  EXPECT_EQ(row(graph, 1), (std::vector<std::int64_t>{2, -1, -1, -1}));
  EXPECT_EQ(row(Graph(2), 5), (std::vector<std::int64_t>{6, 32}));
  EXPECT_EQ(row(Graph(1), 5), (std::vector<std::int64_t>{6}));
  EXPECT_EQ(row(Graph(16), 5).back(), -1);
}

TEST(ConceptGraph, IsReadAsItWasWritten) {
  const ConceptGraph graph = Graph(4), copy = ParseConceptGraph(SerializeConceptGraph(graph));
  EXPECT_EQ(copy.concepts, graph.concepts);
  EXPECT_EQ(copy.each, graph.each);
  EXPECT_EQ(copy.of_region, graph.of_region);
  for (const char* bad : {"", "34", "34 4 1", "34 x", "2 1 9 9"})
    EXPECT_NE(MessageOf(ExitCode::kInvalidData, [&] { ParseConceptGraph(bad); }).find("concepts"),
              std::string::npos)
        << bad;
}

TEST(ConceptGraph, CountsWhatIsReportedPresent) {
  std::vector<std::int64_t> counts(kRegions * kFindings, 0);
  Record record;
  record.region_labels.assign(kRegions * kFindings, -1);
  record.region_labels[5] = 1;
  record.region_labels[6] = 0;
  CountFindings(record, &counts);
  CountFindings(record, &counts);
  EXPECT_EQ(counts[5], 2);
  EXPECT_EQ(std::count(counts.begin(), counts.end(), 0),
            kRegions * static_cast<int>(kFindings) - 1);
}

TEST(ConceptNames, FollowTheIds) {
  Vocabulary vocabulary;
  vocabulary.findings = {{"nodule", {"nodule"}}, {"effusion", {"effusion"}}};
  const std::vector<std::string> names = ConceptNames(vocabulary);
  EXPECT_EQ(static_cast<std::int64_t>(names.size()) + 1, ConceptCount(2));
  EXPECT_EQ(names[AnatomyConcept(3) - 1], kRegionNames[3]);
  EXPECT_EQ(names[FindingConcept(1) - 1], "effusion");
}

}  // namespace
}  // namespace vesalius::data
