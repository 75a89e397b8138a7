// Concepts of regions: neighbours from counts, and the rule against leaking labels.
#include "data/concepts.h"

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

Batch OneRow(std::int64_t sample, const std::vector<std::pair<int, int>>& positives) {
  Batch batch;
  batch.rows = 1;
  batch.sample_ids = {sample};
  batch.region_labels.assign(kRegions * kFindings, -1);
  for (const auto& [region, finding] : positives)
    batch.region_labels[static_cast<std::size_t>(region) * kFindings + finding] = 1;
  batch.state.samples = 16;
  return batch;
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

TEST(ConceptsForTraining, NeverShowsWhatTheImageHas) {
  const ConceptGraph graph = Graph(4);
  int shown = 0, samples = 400;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    // Finding 2 is there in region 7 only, yet no region may be shown it.
    const auto ids = ConceptsForTraining(OneRow(sample, {{7, 2}}), graph, 1);
    ASSERT_EQ(ids.size(), graph.of_region.size());
    EXPECT_EQ(std::count(ids.begin(), ids.end(), FindingConcept(2)), 0);
    for (int region = 0; region < kRegions; ++region)
      EXPECT_EQ(ids[static_cast<std::size_t>(region * graph.each)], AnatomyConcept(region));
    shown += std::count(ids.begin(), ids.end(), FindingConcept(0)) > 0;
  }
  // Others are left out as often as not: absence says little.
  EXPECT_NEAR(shown, samples / 2, 60);
}

TEST(ConceptsForTraining, FollowsFromSeedPositionAndSample) {
  const ConceptGraph graph = Graph(4);
  Batch two = OneRow(3, {});
  two.rows = 2;
  two.sample_ids = {3, 8};
  two.region_labels.resize(2 * kRegions * kFindings, -1);
  const auto both = ConceptsForTraining(two, graph, 1);
  auto apart = ConceptsForTraining(OneRow(3, {}), graph, 1);
  const auto second = ConceptsForTraining(OneRow(8, {}), graph, 1);
  apart.insert(apart.end(), second.begin(), second.end());
  EXPECT_EQ(both, apart);
  EXPECT_NE(both, ConceptsForTraining(two, graph, 2));
  EXPECT_TRUE(ConceptsForTraining(Batch(), graph, 1).empty());
}

}  // namespace
}  // namespace vesalius::data
