// A patient's anatomy as 29 boxes in canonical coordinates ([0, 1] square, image left = the
// patient's right), how a study poses it, and where the boxes come to lie in the image.
#pragma once

#include <array>

#include "base/random.h"
#include "data/record.h"

namespace vesalius::data::phantom {

using Layout = std::array<Box, kRegions>;

struct Patient {
  Layout layout;
  double scale = 1, angle = 0, dx = 0, dy = 0;  // habit of the patient; radians, image widths
};

// image = R(angle) * ((canonical - centre) * (sx, sy)) + centre + (dx, dy), in image widths.
struct Pose {
  double sx = 1, sy = 1, angle = 0, dx = 0, dy = 0;
};

// Normal with mean 0, cut at two standard deviations.
double Jitter(Random& random, double deviation);

Patient DrawPatient(Random& random);
Pose DrawPose(const Patient& patient, Random& random);

// The enlarged form of `region`: the heart grows on its base and takes the right atrium along,
// every other region about its centre.
void Enlarge(Layout& layout, int region);

// The hull of the box's ellipse in the image, normalised; may reach beyond [0, 1].
Box ToImage(const Box& box, const Pose& pose);

// The part inside [0, 1]. False when less than half of the box's area is visible.
bool ClipToFrame(Box& box);

// Intersection over the smaller area, in [0, 1].
double Overlap(const Box& a, const Box& b);

}  // namespace vesalius::data::phantom
