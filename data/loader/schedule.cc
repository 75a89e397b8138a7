#include "data/loader/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"
#include "data/loader/order.h"

namespace vesalius::data {

Schedule::Schedule(std::vector<std::int64_t> sizes, std::vector<double> weights, std::uint64_t seed,
                   std::int64_t global_batch, Tail tail)
    : sizes_(std::move(sizes)), seed_(seed), global_batch_(global_batch), tail_(tail) {
  Invariant(!sizes_.empty() && weights.size() == sizes_.size(), sizes_.size(), " data sets, ",
            weights.size(), " weights");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::int64_t first = 0;
  double share = 0;
  for (std::size_t s = 0; s < sizes_.size(); ++s) {
    first_.push_back(first);
    first += sizes_[s];
    share += weights[s] / sum;
    share_.push_back(share);
  }
  share_.back() = 1;
}

// Places of the step that begins after `samples` samples, by data set.
std::vector<std::int64_t> Schedule::Places(std::int64_t samples) const {
  if (sizes_.size() == 1) return {global_batch_};
  const double u = Random(seed_, Purpose::kMixture, static_cast<std::uint64_t>(samples)).Uniform();
  std::vector<std::int64_t> places;
  std::int64_t given = 0;
  for (const double share : share_) {
    // k + u < share * B
    const auto end = std::clamp<std::int64_t>(
        std::llround(std::ceil(share * static_cast<double>(global_batch_) - u)), given,
        global_batch_);
    places.push_back(end - given);
    given = end;
  }
  places.back() += global_batch_ - given;
  return places;
}

void Schedule::Take(std::size_t source, std::int64_t count, SourcePosition& at,
                    std::vector<Planned>& out) const {
  const std::int64_t size = sizes_[source];
  const bool mixed = sizes_.size() > 1;
  const auto rest = [&] { return size - at.position; };
  if (rest() == 0 || (!mixed && tail_ == Tail::kDrop && rest() < count)) {
    ++at.epoch;
    at.position = 0;
  }
  while (count > 0) {
    const SampleOrder order(size, seed_ + (source == 0 ? 0 : Mix64(source)), at.epoch);
    const std::int64_t taken = std::min(count, rest());
    for (std::int64_t i = 0; i < taken; ++i)
      out.push_back({first_[source] + order.At(at.position + i), at.epoch});
    at.position += taken;
    count -= taken;
    if (count == 0 || !mixed) return;
    ++at.epoch;
    at.position = 0;
  }
}

std::vector<Planned> Schedule::Next(LoaderState& state) const {
  std::vector<Planned> step;
  const std::vector<std::int64_t> places = Places(state.samples);
  for (std::size_t s = 0; s < sizes_.size(); ++s) Take(s, places[s], state.sources[s], step);
  if (sizes_.size() > 1) {
    Random random(seed_, Purpose::kMixture, static_cast<std::uint64_t>(state.samples), 1);
    random.Shuffle(step);
  }
  state.samples += static_cast<std::int64_t>(step.size());
  if (tail_ == Tail::kPad) step.resize(static_cast<std::size_t>(global_batch_));
  return step;
}

std::int64_t Schedule::steps_per_epoch() const {
  double steps = 0;
  for (std::size_t s = 0; s < sizes_.size(); ++s) {
    const double share = share_[s] - (s == 0 ? 0 : share_[s - 1]);
    const double of_set =
        static_cast<double>(sizes_[s]) / (share * static_cast<double>(global_batch_));
    steps = std::max(
        steps, sizes_.size() == 1 && tail_ == Tail::kDrop ? std::floor(of_set) : std::ceil(of_set));
  }
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(steps));
}

}  // namespace vesalius::data
