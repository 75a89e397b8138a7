#include "data/anatomy.h"

namespace vesalius::data {

std::array<int, kRegions> AnatomicalParents() {
  constexpr int kLung = 0, kUpperZone = 1, kMidZone = 2, kLowerZone = 3, kApex = 5, kAngle = 6;
  constexpr int kLeft = 8;  // a region of the left side follows its right one at this distance
  constexpr int kTrachea = 16, kAorticArch = 20, kMediastinum = 21, kUpperMediastinum = 22;
  constexpr int kSvc = 23, kHeart = 24, kCavoatrial = 25, kRightAtrium = 26, kCarina = 27;
  std::array<int, kRegions> parents;
  parents.fill(-1);
  for (const int side : {0, kLeft})
    for (const int zone : {kUpperZone, kMidZone, kLowerZone, kApex, kAngle})
      parents[zone + side] = kLung + side;
  for (const int part : {kUpperMediastinum, kAorticArch, kSvc, kTrachea, kCarina})
    parents[part] = kMediastinum;
  parents[kRightAtrium] = parents[kCavoatrial] = kHeart;
  return parents;
}

}  // namespace vesalius::data
