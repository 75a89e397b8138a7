// The one suite that every communicator passes: results against values computed here, counts that
// are unequal and zero, order of summation, many collectives in flight, names in errors. A
// backend's test calls RunConformance on every rank. Values are written through FromHost and
// ToHost, so that it also holds for memory that the host cannot touch.
#pragma once

#include "dist/communicator.h"

namespace vesalius::dist {

// `exact_order`: sums are taken in rank order (CPU backends), so bits are compared; else sums that
// are exact in any order.
void RunConformance(Communicator& comm, bool exact_order);

// Rank 0 calls another collective than the others: all throw Error(kBug) naming both.
void ExpectMismatchIsNamed(Communicator& comm);

}  // namespace vesalius::dist
