// How random the sample order is, for the benchmark and for a test.
#pragma once

namespace vesalius::bench {

// Shares of orders outside the 99 % band of truly random permutations; about 0.01 each for good
// ones.
struct OrderQuality {
  double outside_correlation = 0;  // of samples at neighbouring positions
  double outside_chi_square = 0;   // of which blocks of positions hold which blocks of samples
};

// Over `keys` seeds, one epoch of 10,007 samples each.
OrderQuality MeasureOrders(int keys);

}  // namespace vesalius::bench
