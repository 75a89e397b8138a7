// The one summation of the CPU backends: element by element in rank order, so that results are
// bit-identical from run to run, for any split into buckets or slices, and on every rank.
#pragma once

#include <cstdint>
#include <span>

#include "dist/communicator.h"

namespace vesalius::dist {

// Every destination[count] = ((sources[0] + sources[1]) + sources[2]) + ... Destinations may be
// among the sources, element for element. bfloat16 is added in float32 and rounded once, to nearest
// even; integers wrap.
void SumInRankOrder(DType type, std::span<const void* const> sources,
                    std::span<void* const> destinations, std::int64_t count);

}  // namespace vesalius::dist
