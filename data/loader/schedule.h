// Which samples a step has: a pure function of the loader's state, equal on all ranks and free of
// the world size. Several data sets are mixed by weight: of a step's B places, set s gets those k
// of [0, B) whose (k + u) / B falls into its share of [0, 1), with u drawn anew each step
// (systematic sampling: never off by more than one place, exact on average), and the places are
// shuffled. Each set has its own order of epochs and its own position, and goes on into its next
// epoch within a step, so that nothing is left out. O(1) memory; any step is found at once.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.h"
#include "data/loader/batch.h"

namespace vesalius::data {

// What happens to the end of an epoch of a single data set that does not fill a step:
enum class Tail {
  kDrop,   // it is left out, another part each epoch
  kPad,    // the step has empty rows, which no loss counts
  kShort,  // the step has fewer rows
};

// A sample of a step: its index over all data sets one after another, and the epoch of its own.
struct Planned {
  static constexpr std::int64_t kEmpty = -1;
  std::int64_t sample = kEmpty, epoch = 0;
};

class Schedule {
 public:
  // `sizes`: samples of each data set, >= 1. `weights`: > 0, any scale, one a set.
  Schedule(std::vector<std::int64_t> sizes, std::vector<double> weights, std::uint64_t seed,
           std::int64_t global_batch, Tail tail);

  // The step after `state`, which becomes the state after it. Empty rows come last.
  std::vector<Planned> Next(LoaderState& state) const;

  // Steps after which every data set has been seen once: of a single one with kDrop rounded down,
  // else up.
  std::int64_t steps_per_epoch() const;

 private:
  std::vector<std::int64_t> Places(std::int64_t samples) const;
  void Take(std::size_t source, std::int64_t count, SourcePosition& at,
            std::vector<Planned>& out) const;

  std::vector<std::int64_t> sizes_, first_;  // first_: index of a set's first sample over all
  std::vector<double> share_;                // cumulative; the last is 1
  std::uint64_t seed_;
  std::int64_t global_batch_;
  Tail tail_;
};

}  // namespace vesalius::data
