// A synthetic chest set with known regions, findings and reports, for demos and tests
// (docs/phantom.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace vesalius::data {

struct PhantomOptions {
  std::string out;              // data set folder; must not hold a data set yet
  std::int64_t samples = 4000;  // studies; patients follow (1 to 3 studies each)
  std::uint64_t seed = 7;
  int size = 64;  // side of the square image, pixels
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // after each study
};

// Writes exactly `samples` studies. Every random choice follows from (seed, patient, study); the
// same seed and size give the same bytes. The split is by patient: 80 % train, 5 % valid, 15 %
// test; three patients are enough for one of each. Errors: kConfig for a value out of range,
// kCannotCreate.
void WritePhantom(const PhantomOptions& options);

}  // namespace vesalius::data
