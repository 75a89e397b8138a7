#include "data/phantom/phantom_render.h"

#include <algorithm>
#include <cmath>

#include "data/phantom/phantom_words.h"

namespace vesalius::data::phantom {
namespace {

// Draws in canonical coordinates (u, v) on a film under a pose.
class Chest {
 public:
  Chest(const Layout& layout, const Pose& pose, int size)
      : layout_(layout),
        pose_(pose),
        cosine_(static_cast<float>(std::cos(pose.angle))),
        sine_(static_cast<float>(std::sin(pose.angle))) {
    film_.size = size;
    film_.pixels.assign(static_cast<std::size_t>(size) * size, .06f);
  }

  Film Draw() {
    Blend({.5f, .58f, .96f, 1.2f}, 4, 1, .42f);  // the body
    for (const int side : {0, static_cast<int>(kLeft)}) DrawLung(layout_[kLung + side]);
    Blend(layout_[kMediastinum], 4, .85f, .52f);
    Soft(layout_[kSpine], 6, .12f, [](float& pixel, float m, float, float v) {
      pixel += m * (.07f + std::copysign(.05f, std::sin(2 * kPi * 12 * v)));
    });
    Blend(layout_[kHeart], 2, .9f, .66f);
    Blend(layout_[kAorticArch], 2, .9f, .68f);
    Brighten(layout_[kSvc], 4, .12f, .08f);
    Brighten(layout_[kRightAtrium], 2, .12f, .06f);
    Brighten(layout_[kCavoatrial], 2, .12f, .05f);
    Blend(layout_[kTrachea], 6, .8f, .24f);
    DrawCarina(layout_[kCarina]);
    for (const int side : {0, static_cast<int>(kLeft)}) {
      Brighten(layout_[kHilum + side], 2, .3f, .16f);
    }
    DrawClavicle(layout_[kRightClavicle], 1);
    DrawClavicle(layout_[kLeftClavicle], -1);
    for (const int side : {0, static_cast<int>(kLeft)}) DrawDiaphragm(layout_[kDiaphragm + side]);
    DrawAbdomen(layout_[kAbdomen]);
    return std::move(film_);
  }

 private:
  // Calls f(pixel, u, v) for the pixels that a canonical rectangle covers (and a few beside it).
  template <typename F>
  void Each(const Box& box, F f) {
    const double x = (box.cx - .5) * pose_.sx, y = (box.cy - .5) * pose_.sy;
    const double cx = .5 + pose_.dx + cosine_ * x - sine_ * y;
    const double cy = .5 + pose_.dy + sine_ * x + cosine_ * y;
    const double c = std::abs(cosine_), s = std::abs(sine_);
    const double w = (c * box.w * pose_.sx + s * box.h * pose_.sy) / 2;
    const double h = (s * box.w * pose_.sx + c * box.h * pose_.sy) / 2;
    const int size = film_.size;
    const auto pixel = [&](double at) {
      return static_cast<int>(std::clamp(at * size, 0.0, static_cast<double>(size)));
    };
    const int j0 = pixel(cx - w), j1 = std::min(size, pixel(cx + w) + 1);
    const int i0 = pixel(cy - h), i1 = std::min(size, pixel(cy + h) + 1);
    const float dx = .5f + static_cast<float>(pose_.dx), dy = .5f + static_cast<float>(pose_.dy);
    const float sx = static_cast<float>(pose_.sx), sy = static_cast<float>(pose_.sy);
    for (int i = i0; i < i1; ++i) {
      const float yy = (static_cast<float>(i) + .5f) / static_cast<float>(size) - dy;
      float* row = film_.pixels.data() + static_cast<std::size_t>(i) * size;
      for (int j = j0; j < j1; ++j) {
        const float xx = (static_cast<float>(j) + .5f) / static_cast<float>(size) - dx;
        f(row[j], (cosine_ * xx + sine_ * yy) / sx + .5f, (-sine_ * xx + cosine_ * yy) / sy + .5f);
      }
    }
  }

  // Calls f(pixel, m, u, v) with the membership m of a superellipse of the given power and
  // softness, where m matters (> e^-10).
  template <typename F>
  void Soft(const Box& box, int power, float soft, F f) {
    const float reach = std::pow(1 + 10 * soft, 1.0f / static_cast<float>(power));
    Each({box.cx, box.cy, box.w * reach, box.h * reach}, [&](float& pixel, float u, float v) {
      const float x = std::abs(2 * (u - box.cx) / box.w), y = std::abs(2 * (v - box.cy) / box.h);
      f(pixel, Sigmoid((1 - Power(x, power) - Power(y, power)) / soft), u, v);
    });
  }

  void Blend(const Box& box, int power, float opacity, float value) {
    Soft(box, power, .12f,
         [&](float& pixel, float m, float, float) { pixel += opacity * m * (value - pixel); });
  }

  void Brighten(const Box& box, int power, float soft, float value) {
    Soft(box, power, soft, [&](float& pixel, float m, float, float) { pixel += value * m; });
  }

  void DrawLung(const Box& lung) {  // with ribs
    Soft(lung, 3, .12f, [](float& pixel, float m, float u, float v) {
      pixel += m * (.16f - pixel);
      pixel += m * .04f * std::sin(2 * kPi * (10 * v + 5 * (u - .5f) * (u - .5f)));
    });
  }

  void DrawCarina(const Box& box) {  // an upside-down V
    Soft(box, 4, .12f, [&](float& pixel, float m, float u, float v) {
      const float off = std::abs(std::abs(u - box.cx) - (v - box.cy + box.h / 2) * .8f);
      pixel += .7f * m * Sigmoid((.016f - off) / .006f) * (.22f - pixel);
    });
  }

  void DrawClavicle(const Box& box, float slope) {
    Soft(box, 8, .12f, [&](float& pixel, float m, float u, float v) {
      const float off = v - (box.cy + slope * (u - box.cx) * .7f * box.h / box.w);
      pixel += .26f * m * Sigmoid((.022f - std::abs(off)) / .006f);
    });
  }

  void DrawDiaphragm(const Box& box) {  // a dome, dense down to the image's edge
    const float top = box.cy - box.h * .35f;
    const Box below = {box.cx, top - .08f + 1, box.w * 1.04f, 2};
    Each(below, [&](float& pixel, float u, float v) {
      const float x = (u - box.cx) / box.w;
      if (std::abs(x) >= .52f) return;
      pixel += Sigmoid((v - top - 1.6f * box.h * x * x) / .012f) * (.60f - pixel);
    });
  }

  void DrawAbdomen(const Box& box) {
    const float top = box.cy - box.h * .35f;
    Each({.5f, top - .16f + 1, .92f, 2}, [&](float& pixel, float u, float v) {
      if (std::abs(u - .5f) < .46f) pixel += Sigmoid((v - top) / .02f) * (.62f - pixel);
    });
  }

  const Layout& layout_;
  Pose pose_;
  float cosine_, sine_;
  Film film_;
};

}  // namespace

Film RenderChest(const Layout& layout, const Pose& pose, int size) {
  return Chest(layout, pose, size).Draw();
}

Exposure DrawExposure(Random& random) {
  Exposure out;
  out.gain = random.Uniform(.85, 1.1);
  out.offset = random.Uniform(-.05, .05);
  return out;
}

Image Expose(const Film& film, const Exposure& exposure, Random& random) {
  Image out;
  out.width = out.height = film.size;
  out.u8.reserve(film.pixels.size());
  for (const float pixel : film.pixels) {
    const double value =
        (pixel - .5) * exposure.gain + .5 + exposure.offset + .025 * random.Normal();
    out.u8.push_back(static_cast<std::uint8_t>(std::clamp(value, 0.0, 1.0) * 255 + .5));
  }
  return out;
}

}  // namespace vesalius::data::phantom
