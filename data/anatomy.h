// How the 29 regions lie in each other.
#pragma once

#include <array>

#include "data/record.h"

namespace vesalius::data {

// The larger region that each region is a part of, or -1: lungs of their zones, mediastinum, heart.
std::array<int, kRegions> AnatomicalParents();

}  // namespace vesalius::data
