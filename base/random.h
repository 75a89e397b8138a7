// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A stream is named by what it is for, never by who draws from it, so results
// do not depend on ranks, threads or workers, and no generator state has to be saved.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace vesalius {

// What a stream is drawn for; part of its key. Values are fixed: changing one changes results.
enum class Purpose : std::uint32_t {
  kInit = 1,
  kShuffle = 2,
  kAugment = 3,
  kRegionText = 4,
  kPhantom = 6,
  kSplit = 7,
  kTest = 8,
  kMixture = 9,
};

// Four 32-bit outputs of Philox4x32-10 for one counter and key.
std::array<std::uint32_t, 4> Philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);

// One stream. Copyable; not thread-safe; the same arguments give the same numbers everywhere.
class Random {
 public:
  // `a` and `b` name the stream within its purpose, e.g. epoch and sample id.
  Random(std::uint64_t seed, Purpose purpose, std::uint64_t a = 0, std::uint64_t b = 0);

  std::uint32_t Next32();
  std::uint64_t Next64();
  double Uniform();                         // [0, 1), 53 bits
  double Uniform(double low, double high);  // [low, high)
  double Normal();                          // mean 0, standard deviation 1 (Box-Muller)
  bool Bernoulli(double p) { return Uniform() < p; }
  std::uint64_t Below(std::uint64_t n);  // [0, n), unbiased; n >= 1

  // Fisher-Yates.
  template <typename T>
  void Shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[Below(i)]);
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace vesalius
