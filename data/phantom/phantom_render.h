// Draws a phantom film: the healthy chest from its boxes, then a texture for every finding, then
// the exposure. Distances scale with the image: what is said in pixels holds at 64.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/random.h"
#include "data/phantom/phantom_anatomy.h"
#include "data/record.h"

namespace vesalius::data::phantom {

struct Film {
  int size = 0;
  std::vector<float> pixels;  // [size, size] row-major, about [0, 1]
};

Film RenderChest(const Layout& layout, const Pose& pose, int size);

// Paints `finding` into the image box `box` with that finding's own texture. Boxes that show fewer
// than two pixels a side stay as they are.
void PaintFinding(Film& film, Box box, int finding, Random& random);

struct Exposure {
  double gain = 1, offset = 0;
};
Exposure DrawExposure(Random& random);

// 8-bit grey, with noise of .025 drawn from `random`.
Image Expose(const Film& film, const Exposure& exposure, Random& random);

// What chest and textures are drawn with: a soft step, and x^n for n >= 1.
inline constexpr float kPi = std::numbers::pi_v<float>;
inline float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-std::clamp(x, -30.0f, 30.0f))); }
inline float Power(float x, int n) { return n == 1 ? x : x * Power(x, n - 1); }

}  // namespace vesalius::data::phantom
