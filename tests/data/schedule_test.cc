// What steps consist of: tails, mixtures, resume at any step, the cost of any step.
#include "data/loader/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace vesalius::data {
namespace {

LoaderState Fresh(std::size_t sources) {
  LoaderState state;
  state.sources.resize(sources);
  return state;
}

std::size_t Empty(const std::vector<Planned>& step) {
  return static_cast<std::size_t>(std::count_if(
      step.begin(), step.end(), [](const Planned& p) { return p.sample == Planned::kEmpty; }));
}

TEST(Schedule, TailsOfAnEpoch) {
  constexpr std::int64_t kSize = 23, kBatch = 5;
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kShort}) {
    const Schedule schedule({kSize}, {1}, 3, kBatch, tail);
    EXPECT_EQ(schedule.steps_per_epoch(), tail == Tail::kDrop ? 4 : 5);
    LoaderState state = Fresh(1);
    for (int epoch = 0; epoch < 3; ++epoch) {
      std::multiset<std::int64_t> seen;
      for (int i = 0; i < schedule.steps_per_epoch(); ++i) {
        const std::vector<Planned> step = schedule.Next(state);
        const bool last = i == 4;
        EXPECT_EQ(step.size(), last && tail == Tail::kShort ? 3u : 5u);
        EXPECT_EQ(Empty(step), last && tail == Tail::kPad ? 2u : 0u);
        for (std::size_t row = 0; row < step.size() - Empty(step); ++row) {
          EXPECT_EQ(step[row].epoch, epoch);
          seen.insert(step[row].sample);
        }
      }
      EXPECT_EQ(seen.size(), tail == Tail::kDrop ? 20u : 23u);
      EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), seen.size());
    }
    EXPECT_EQ(state.samples, tail == Tail::kDrop ? 60 : 69);
  }
}

TEST(Schedule, MixtureKeepsItsWeightsAndLosesNothing) {
  const std::vector<std::int64_t> sizes{40, 7, 300};
  const Schedule schedule(sizes, {0.2, 0.1, 0.7}, 9, 16, Tail::kDrop);
  LoaderState state = Fresh(3);
  std::map<int, std::int64_t> of_set;
  std::map<std::pair<std::int64_t, std::int64_t>, int> times;  // (sample, epoch)
  constexpr int kSteps = 500;
  for (int i = 0; i < kSteps; ++i) {
    const std::vector<Planned> step = schedule.Next(state);
    ASSERT_EQ(step.size(), 16u);
    std::map<int, int> here;
    for (const Planned& planned : step) {
      ++times[{planned.sample, planned.epoch}];
      ++here[planned.sample < 40 ? 0 : planned.sample < 47 ? 1 : 2];
    }
    for (const auto& [set, count] : here) of_set[set] += count;
    EXPECT_NEAR(here[0], 16 * 0.2, 1);
    EXPECT_NEAR(here[1], 16 * 0.1, 1);
    EXPECT_NEAR(here[2], 16 * 0.7, 1);
  }
  EXPECT_NEAR(static_cast<double>(of_set[0]), kSteps * 16 * 0.2, 40);
  EXPECT_NEAR(static_cast<double>(of_set[1]), kSteps * 16 * 0.1, 40);
  // Each sample once an epoch of its own set, and every epoch before the last is whole.
  for (const auto& [key, count] : times) EXPECT_EQ(count, 1);
  std::int64_t first = 0;
  for (std::size_t s = 0; s < sizes.size(); ++s) {
    for (std::int64_t epoch = 0; epoch < state.sources[s].epoch; ++epoch)
      for (std::int64_t i = 0; i < sizes[s]; ++i)
        EXPECT_EQ(times.count({first + i, epoch}), 1u) << "set " << s << " epoch " << epoch;
    first += sizes[s];
  }
}

TEST(Schedule, AnyStateLeadsOnTheSameWay) {
  for (const Tail tail : {Tail::kDrop, Tail::kPad, Tail::kShort}) {
    for (const auto& sizes : {std::vector<std::int64_t>{37}, std::vector<std::int64_t>{37, 11}}) {
      const Schedule schedule(sizes, std::vector<double>(sizes.size(), 1.0), 4, 6, tail);
      LoaderState state = Fresh(sizes.size());
      for (int i = 0; i < 40; ++i) {
        LoaderState stored = ParseLoaderState(SerializeLoaderState(state));
        const Schedule again(sizes, std::vector<double>(sizes.size(), 1.0), 4, 6, tail);
        const std::vector<Planned> a = schedule.Next(state), b = again.Next(stored);
        ASSERT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end(),
                               [](const Planned& x, const Planned& y) {
                                 return x.sample == y.sample && x.epoch == y.epoch;
                               }));
        ASSERT_EQ(SerializeLoaderState(state), SerializeLoaderState(stored));
      }
    }
  }
}

}  // namespace
}  // namespace vesalius::data
