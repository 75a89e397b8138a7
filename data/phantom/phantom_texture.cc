#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/phantom/phantom_render.h"
#include "data/phantom/phantom_words.h"

namespace vesalius::data::phantom {
namespace {

// One pixel of a finding's box: its place in pixels and relative to the box ([-1, 1]), and the
// box's soft membership.
struct Spot {
  float x, y, u, v, m;
};

// What a finding looks like: changes `pixel`. The numbers drawn once a finding are in here.
struct Texture {
  int finding;
  float k;             // pixels of a 64-pixel film
  float x0, y0, w, h;  // the box in pixels
  float strength, phase;
  float a, b;  // where in the box: nodule, catheter, fracture
  Random& random;

  void Apply(float& pixel, const Spot& p) {
    const float wave = 2 * kPi / k;
    switch (finding) {
      case kConsolidation:
        pixel += .32f * strength * p.m * (.8f + .4f * static_cast<float>(random.Uniform()));
        break;
      case kReticular:
        pixel += .24f * strength * p.m *
                 std::copysign(1.0f,
                               std::sin(wave * p.x / 4 + phase) * std::sin(wave * p.y / 4 + phase));
        break;
      case kNodule: {
        const float off = std::hypot((p.u - a) * w / 2, (p.v - b) * h / 2);
        pixel += .50f * Sigmoid((2.8f * k * strength - off) / (.5f * k));
        break;
      }
      case kPneumothorax:  // black air under a bright edge
        pixel += p.m * (.02f - pixel) * .9f;
        if (std::abs(p.v - .55f) < 2.4f * k / std::max(h, 1.0f)) pixel += .40f * strength * p.m;
        break;
      case kEffusion:  // a meniscus
        if (std::abs(p.u) < 1) {
          pixel += std::max(0.0f, .80f - pixel) * Sigmoid((p.v + .4f - .5f * p.u * p.u) / .15f);
        }
        break;
      case kAtelectasis:  // slanted bands
        if (std::sin(wave * p.y / 5 + .25f * p.x / k + phase) > .2f) {
          pixel += .34f * strength * p.m;
        }
        break;
      case kCalcification:  // speckles
        if (random.Bernoulli(.35)) pixel += .55f * strength * p.m;
        break;
      case kCatheter:
        if (std::abs(p.x - (x0 + w / 2 + a * w / 4)) < k && std::abs(p.v) < .95f) pixel += .55f;
        break;
      case kFracture: {  // a gap across the bone
        const float along = w > h ? p.u : p.v;
        if (std::abs(along - a) * std::max(w, h) / 2 < 2.2f * k) {
          pixel += p.m * (.02f - pixel) * .9f;
        }
        break;
      }
      case kEnlargement:  // the shape has grown before; here its denser core
        pixel += .22f * strength * p.m;
        break;
      default:
        Invariant(false, "no texture for finding ", finding);
    }
  }
};

}  // namespace

void PaintFinding(Film& film, Box box, int finding, Random& random) {
  if (finding == kEffusion) {  // the meniscus climbs above the angle
    box = {box.cx, box.cy - .4f * box.h, box.w * 1.1f, box.h * 1.8f};
  }
  const float size = static_cast<float>(film.size);
  Texture texture{finding,
                  size / 64,
                  (box.cx - box.w / 2) * size,
                  (box.cy - box.h / 2) * size,
                  box.w * size,
                  box.h * size,
                  static_cast<float>(random.Uniform(.8, 1.2)),
                  static_cast<float>(random.Uniform(0, 2 * kPi)),
                  static_cast<float>(random.Uniform(-.4, .4)),
                  static_cast<float>(random.Uniform(-.4, .4)),
                  random};
  const float x0 = texture.x0, y0 = texture.y0, w = texture.w, h = texture.h;
  const int j0 = std::max(0, static_cast<int>(x0)), i0 = std::max(0, static_cast<int>(y0));
  const int j1 = std::min(film.size, static_cast<int>(std::ceil(x0 + w)));
  const int i1 = std::min(film.size, static_cast<int>(std::ceil(y0 + h)));
  if (i1 - i0 < 2 || j1 - j0 < 2) return;
  for (int i = i0; i < i1; ++i) {
    for (int j = j0; j < j1; ++j) {
      Spot p;
      p.x = static_cast<float>(j) + .5f;
      p.y = static_cast<float>(i) + .5f;
      p.u = 2 * (p.x - x0) / w - 1;
      p.v = 2 * (p.y - y0) / h - 1;
      p.m = Sigmoid((1 - Power(std::abs(p.u), 3) - Power(std::abs(p.v), 3)) / .15f);
      texture.Apply(film.pixels[static_cast<std::size_t>(i) * film.size + j], p);
    }
  }
}

}  // namespace vesalius::data::phantom
