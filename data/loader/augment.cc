#include "data/loader/augment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr double kKeptShare = 0.5;  // of a box's area that must remain inside

// Planes of values in [0, 1], each with a border of one pixel that repeats the edge, so that
// bilinear reads need no bounds. They may be a part of a larger image: `left` and `top` are where
// its first pixel lies there.
struct Planes {
  Planes(int width_in, int height_in, int channels_in, int left_in, int top_in)
      : width(width_in),
        height(height_in),
        stride(width_in + 2),
        channels(channels_in),
        left(left_in),
        top(top_in),
        values(static_cast<std::size_t>(channels) * plane_size()) {}
  float* plane(int channel) { return values.data() + plane_size() * channel; }
  const float* plane(int channel) const { return values.data() + plane_size() * channel; }
  std::size_t plane_size() const { return static_cast<std::size_t>(stride) * (height + 2); }
  void FillBorder() {
    for (int c = 0; c < channels; ++c) {
      float* first = plane(c);
      for (int y = 1; y <= height; ++y) {
        float* row = first + static_cast<std::ptrdiff_t>(y) * stride;
        row[0] = row[1];
        row[width + 1] = row[width];
      }
      std::copy_n(first + stride, stride, first);
      float* last = first + static_cast<std::ptrdiff_t>(height) * stride;
      std::copy_n(last, stride, last + stride);
    }
  }

  int width, height, stride, channels, left, top;
  std::vector<float> values;
};

// v - 1/2 = R(angle) (u - centre) / side + shift, of u in the stored square and v in the output's.
void Forward(const Look& look, double ux, double uy, double* vx, double* vy) {
  const double x = (ux - look.centre_x) / look.side, y = (uy - look.centre_y) / look.side;
  *vx = look.cos * x - look.sin * y + look.shift_x + 0.5;
  *vy = look.sin * x + look.cos * y + look.shift_y + 0.5;
}

void Inverse(const Look& look, double vx, double vy, double* ux, double* uy) {
  const double x = vx - 0.5 - look.shift_x, y = vy - 0.5 - look.shift_y;
  *ux = look.centre_x + look.side * (look.cos * x + look.sin * y);
  *uy = look.centre_y + look.side * (look.cos * y - look.sin * x);
}

bool IsIdentity(const Look& look) {
  return look.side == 1 && look.shift_x == 0 && look.shift_y == 0 && look.sin == 0;
}

// Stored pixels that one step in the output spans, in whole pixels: their mean is what is sampled.
int ShrinkFactor(const Look& look, int stored_size, int size) {
  return std::max(static_cast<int>(look.side * stored_size / size), 1);
}

// Writes `image`, divided by its maximum, as `channels` planes: pixel (x, y) of plane c to
// to[c * plane + y * stride + x].
template <typename Value>
void WritePlanes(const std::vector<Value>& values, const Image& image, float max, int channels,
                 float* to, int stride, std::size_t plane) {
  const int width = image.width;
  for (int y = 0; y < image.height; ++y) {
    const Value* in = values.data() + static_cast<std::size_t>(y) * width * image.channels;
    float* row = to + static_cast<std::size_t>(y) * stride;
    if (image.channels == 3 && channels == 1) {
      for (int x = 0; x < width; ++x, in += 3) {
        row[x] = (0.299f * in[0] + 0.587f * in[1] + 0.114f * in[2]) / max;
      }
    } else if (image.channels == 1) {
      for (int x = 0; x < width; ++x) row[x] = in[x] / max;
      for (int c = 1; c < channels; ++c) std::copy_n(row, width, row + c * plane);
    } else {
      for (int x = 0; x < width; ++x, in += 3) {
        for (int c = 0; c < 3; ++c) row[c * plane + x] = in[c] / max;
      }
    }
  }
}

void WritePlanes(const Image& image, int channels, float* to, int stride, std::size_t plane) {
  if (image.deep()) {
    WritePlanes(image.u16, image, 65535.0f, channels, to, stride, plane);
  } else {
    WritePlanes(image.u8, image, 255.0f, channels, to, stride, plane);
  }
}

// Means over blocks of `factor` x `factor` pixels (fewer at the far edges). `in` begins at a
// block's edge.
Planes Shrink(const Planes& in, int factor) {
  Planes out((in.width + factor - 1) / factor, (in.height + factor - 1) / factor, in.channels,
             in.left / factor, in.top / factor);
  for (int c = 0; c < in.channels; ++c) {
    for (int by = 0; by < out.height; ++by) {
      for (int bx = 0; bx < out.width; ++bx) {
        const int y1 = std::min((by + 1) * factor, in.height);
        const int x1 = std::min((bx + 1) * factor, in.width);
        float sum = 0;
        for (int y = by * factor; y < y1; ++y) {
          for (int x = bx * factor; x < x1; ++x) {
            sum += in.plane(c)[(y + 1) * in.stride + x + 1];
          }
        }
        const int pixels = (y1 - by * factor) * (x1 - bx * factor);
        out.plane(c)[(by + 1) * out.stride + bx + 1] = sum / static_cast<float>(pixels);
      }
    }
  }
  return out;
}

// Bilinear; the edge pixels extend to the image's border, beyond it is black. `extent`: the width
// of the stored square in pixels of `in`.
void Resample(const Planes& in, double extent, const Look& look, int size, std::span<float> out) {
  double x00, y00, x10, y10;  // the map is affine: one step along a row is a constant
  Inverse(look, 0, 0, &x00, &y00);
  Inverse(look, 1, 0, &x10, &y10);
  const auto step_x = static_cast<float>((x10 - x00) * extent / size);
  const auto step_y = static_cast<float>((y10 - y00) * extent / size);
  const float low = 0.5f, high = static_cast<float>(extent) + 0.5f;  // the image, border counted
  float* to = out.data();
  for (int c = 0; c < in.channels; ++c) {
    const float* plane = in.plane(c) - (static_cast<std::ptrdiff_t>(in.top) * in.stride + in.left);
    for (int y = 0; y < size; ++y, to += size) {
      double row_x, row_y;
      Inverse(look, 0.5 / size, (y + 0.5) / size, &row_x, &row_y);
      const auto first_x = static_cast<float>(row_x * extent + 0.5);
      const auto first_y = static_cast<float>(row_y * extent + 0.5);
      for (int x = 0; x < size; ++x) {
        const float px = first_x + static_cast<float>(x) * step_x;
        const float py = first_y + static_cast<float>(x) * step_y;
        if (!(px >= low && px <= high && py >= low && py <= high)) {
          to[x] = 0;
          continue;
        }
        const int x0 = static_cast<int>(px), y0 = static_cast<int>(py);
        const float fx = px - static_cast<float>(x0), fy = py - static_cast<float>(y0);
        const float* at = plane + static_cast<std::ptrdiff_t>(y0) * in.stride + x0;
        const float top = at[0] + fx * (at[1] - at[0]);
        const float bottom = at[in.stride] + fx * (at[in.stride + 1] - at[in.stride]);
        to[x] = top + fy * (bottom - top);
      }
    }
  }
}

// The first and the last of `pixels` that bilinear reads between `low` and `high` touch, in
// coordinates where pixel k is centred at k + 1; with one more for what rounding adds.
std::pair<int, int> Touched(double low, double high, int pixels) {
  const auto within = [pixels](double pixel) {
    return static_cast<int>(std::clamp(pixel, 0.0, pixels - 1.0));
  };
  return {within(std::floor(low) - 2), within(std::floor(high) + 1)};
}

// The image, a window of the stored square, seen through `look` in [0, 1] -> `out`
// [channels, size, size].
void Warp(const Image& image, const Window& window, int stored_size, const Look& look,
          const PipelineOptions& options, std::span<float> out) {
  const std::size_t values = static_cast<std::size_t>(image.width) * image.height * image.channels;
  const bool whole = window.width == 0;
  Invariant(image.width == (whole ? stored_size : window.width) &&
                image.height == (whole ? stored_size : window.height) && values > 0 &&
                (image.channels == 1 || image.channels == 3) &&
                (image.deep() ? image.u16.size() : image.u8.size()) == values,
            "image of ", image.width, " x ", image.height, " x ", image.channels,
            " is not the window of a stored square of ", stored_size);
  Invariant(out.size() == PixelCount(options), "pixel buffer of a wrong size");
  const int size = options.image_size;
  if (IsIdentity(look) && stored_size == size) {
    WritePlanes(image, options.channels, out.data(), size, out.size() / options.channels);
    return;
  }
  Planes planes(image.width, image.height, options.channels, window.x, window.y);
  WritePlanes(image, options.channels, planes.plane(0) + planes.stride + 1, planes.stride,
              planes.plane_size());
  const int factor = ShrinkFactor(look, stored_size, size);
  if (factor > 1) planes = Shrink(planes, factor);
  planes.FillBorder();
  Resample(planes, static_cast<double>(stored_size) / factor, look, size, out);
}

void Normalise(const PipelineOptions& options, std::span<float> pixels) {
  for (float& value : pixels) value = (value - options.mean) / options.std;
}

void Photometric(float brightness, float contrast, std::span<float> pixels) {
  double sum = 0;
  for (float& value : pixels) sum += value = std::min(value * brightness, 1.0f);
  const auto mean = static_cast<float>(sum / static_cast<double>(pixels.size()));
  for (float& value : pixels) value = std::clamp(mean + contrast * (value - mean), 0.0f, 1.0f);
}

}  // namespace

Look DrawLook(const PipelineOptions& options, Random& random) {
  Look look;
  look.side = random.Uniform(options.min_crop, 1.0);
  look.centre_x = random.Uniform(look.side / 2, 1 - look.side / 2);
  look.centre_y = random.Uniform(look.side / 2, 1 - look.side / 2);
  look.shift_x = random.Uniform(-options.max_shift, options.max_shift);
  look.shift_y = random.Uniform(-options.max_shift, options.max_shift);
  const double angle = random.Uniform(-options.max_rotate, options.max_rotate) * M_PI / 180;
  look.cos = std::cos(angle);
  look.sin = std::sin(angle);
  look.brightness = 1 + random.Uniform(-options.brightness, options.brightness);
  look.contrast = 1 + random.Uniform(-options.contrast, options.contrast);
  return look;
}

Window WindowOf(const Look& look, int stored_size, int image_size) {
  if (IsIdentity(look)) return {};
  const int factor = ShrinkFactor(look, stored_size, image_size);
  const double extent = static_cast<double>(stored_size) / factor;
  double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
  for (int corner = 0; corner < 4; ++corner) {
    double ux, uy;
    Inverse(look, (corner & 1 ? image_size - 0.5 : 0.5) / image_size,
            (corner & 2 ? image_size - 0.5 : 0.5) / image_size, &ux, &uy);
    x0 = std::min(x0, ux), x1 = std::max(x1, ux);
    y0 = std::min(y0, uy), y1 = std::max(y1, uy);
  }
  const int pixels = (stored_size + factor - 1) / factor;
  const auto [left, right] = Touched(x0 * extent + 0.5, x1 * extent + 0.5, pixels);
  const auto [top, bottom] = Touched(y0 * extent + 0.5, y1 * extent + 0.5, pixels);
  return {left * factor, top * factor, std::min((right + 1) * factor, stored_size) - left * factor,
          std::min((bottom + 1) * factor, stored_size) - top * factor};
}

void Render(const Image& image, const Window& window, int stored_size, const Look& look,
            const PipelineOptions& options, std::span<float> pixels) {
  Warp(image, window, stored_size, look, options, pixels);
  if (look.brightness != 1 || look.contrast != 1)
    Photometric(static_cast<float>(look.brightness), static_cast<float>(look.contrast), pixels);
  Normalise(options, pixels);
}

RegionBoxes MapBoxes(const RegionBoxes& boxes, const Look& look) {
  if (IsIdentity(look)) return boxes;
  RegionBoxes out;
  for (int r = 0; r < kRegions; ++r) {
    if (!boxes.valid[r]) continue;
    const Box& box = boxes.box[r];
    double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
    for (int corner = 0; corner < 4; ++corner) {
      double vx, vy;
      Forward(look, box.cx + (corner & 1 ? 0.5 : -0.5) * box.w,
              box.cy + (corner & 2 ? 0.5 : -0.5) * box.h, &vx, &vy);
      x0 = std::min(x0, vx), x1 = std::max(x1, vx);
      y0 = std::min(y0, vy), y1 = std::max(y1, vy);
    }
    const double area = (x1 - x0) * (y1 - y0);
    x0 = std::max(x0, 0.0), y0 = std::max(y0, 0.0);
    x1 = std::min(x1, 1.0), y1 = std::min(y1, 1.0);
    if (x1 <= x0 || y1 <= y0 || (x1 - x0) * (y1 - y0) < kKeptShare * area) continue;
    out.box[r] = {static_cast<float>((x0 + x1) / 2), static_cast<float>((y0 + y1) / 2),
                  static_cast<float>(x1 - x0), static_cast<float>(y1 - y0)};
    out.valid[r] = 1;
  }
  return out;
}

std::size_t PixelCount(const PipelineOptions& options) {
  return static_cast<std::size_t>(options.channels) * options.image_size * options.image_size;
}

void Prepare(const Image& image, const PipelineOptions& options, std::span<float> pixels) {
  Render(image, {}, image.width, {}, options, pixels);
}

std::vector<float> Prepare(const Record& record, const PipelineOptions& options) {
  std::vector<float> pixels(PixelCount(options));
  Prepare(record.image, options, pixels);
  return pixels;
}

SampleLook LookOf(const PipelineOptions& options, int stored_size, std::int64_t epoch,
                  std::int64_t sample) {
  if (!options.augment) return {};
  Random random(options.seed, Purpose::kAugment, static_cast<std::uint64_t>(epoch),
                static_cast<std::uint64_t>(sample));
  const Look look = DrawLook(options, random);
  return {look, WindowOf(look, stored_size, options.image_size)};
}

}  // namespace vesalius::data
