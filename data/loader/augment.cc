#include "data/loader/augment.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr double kKeptShare = 0.5;  // of a box's area that must remain inside

// Square planes of values in [0, 1], each with a border of one pixel that repeats the edge, so that
// bilinear reads need no bounds.
struct Planes {
  Planes(int side_in, int channels_in)
      : side(side_in),
        stride(side_in + 2),
        channels(channels_in),
        values(static_cast<std::size_t>(channels) * stride * stride) {}
  float* plane(int channel) { return values.data() + plane_size() * channel; }
  const float* plane(int channel) const { return values.data() + plane_size() * channel; }
  std::size_t plane_size() const { return static_cast<std::size_t>(stride) * stride; }
  void FillBorder() {
    for (int c = 0; c < channels; ++c) {
      float* first = plane(c);
      for (int y = 1; y <= side; ++y) {
        float* row = first + y * stride;
        row[0] = row[1];
        row[side + 1] = row[side];
      }
      std::copy_n(first + stride, stride, first);
      std::copy_n(first + side * stride, stride, first + (side + 1) * stride);
    }
  }

  int side, stride, channels;
  std::vector<float> values;
};

// Maps the stored square u to the output square v, both [0,1]^2:
// v - 1/2 = R(angle) (u - centre) / side + shift.
struct Affine {
  double centre_x = 0.5, centre_y = 0.5, side = 1, shift_x = 0, shift_y = 0, cos = 1, sin = 0;

  bool identity() const {
    return side == 1 && shift_x == 0 && shift_y == 0 && sin == 0;  // then the centre is 1/2
  }
  void Forward(double ux, double uy, double* vx, double* vy) const {
    const double x = (ux - centre_x) / side, y = (uy - centre_y) / side;
    *vx = cos * x - sin * y + shift_x + 0.5;
    *vy = sin * x + cos * y + shift_y + 0.5;
  }
  void Inverse(double vx, double vy, double* ux, double* uy) const {
    const double x = vx - 0.5 - shift_x, y = vy - 0.5 - shift_y;
    *ux = centre_x + side * (cos * x + sin * y);
    *uy = centre_y + side * (cos * y - sin * x);
  }
};

// Writes `image`, divided by its maximum, as `channels` planes: pixel (x, y) of plane c to
// to[c * plane + y * stride + x].
template <typename Value>
void WritePlanes(const std::vector<Value>& values, const Image& image, float max, int channels,
                 float* to, int stride, std::size_t plane) {
  const int side = image.width;
  for (int y = 0; y < side; ++y) {
    const Value* in = values.data() + static_cast<std::size_t>(y) * side * image.channels;
    float* row = to + static_cast<std::size_t>(y) * stride;
    if (image.channels == 3 && channels == 1) {
      for (int x = 0; x < side; ++x, in += 3) {
        row[x] = (0.299f * in[0] + 0.587f * in[1] + 0.114f * in[2]) / max;
      }
    } else if (image.channels == 1) {
      for (int x = 0; x < side; ++x) row[x] = in[x] / max;
      for (int c = 1; c < channels; ++c) std::copy_n(row, side, row + c * plane);
    } else {
      for (int x = 0; x < side; ++x, in += 3) {
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

// Means over blocks of `factor` x `factor` pixels (fewer at the far edges).
Planes Shrink(const Planes& in, int factor) {
  Planes out((in.side + factor - 1) / factor, in.channels);
  for (int c = 0; c < in.channels; ++c) {
    for (int by = 0; by < out.side; ++by) {
      for (int bx = 0; bx < out.side; ++bx) {
        const int y1 = std::min((by + 1) * factor, in.side);
        const int x1 = std::min((bx + 1) * factor, in.side);
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
void Resample(const Planes& in, double extent, const Affine& map, int size, std::span<float> out) {
  double x00, y00, x10, y10;  // the map is affine: one step along a row is a constant
  map.Inverse(0, 0, &x00, &y00);
  map.Inverse(1, 0, &x10, &y10);
  const auto step_x = static_cast<float>((x10 - x00) * extent / size);
  const auto step_y = static_cast<float>((y10 - y00) * extent / size);
  const float low = 0.5f, high = static_cast<float>(extent) + 0.5f;  // the image, border counted
  float* to = out.data();
  for (int c = 0; c < in.channels; ++c) {
    const float* plane = in.plane(c);
    for (int y = 0; y < size; ++y, to += size) {
      double row_x, row_y;
      map.Inverse(0.5 / size, (y + 0.5) / size, &row_x, &row_y);
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
        const float* at = plane + y0 * in.stride + x0;
        const float top = at[0] + fx * (at[1] - at[0]);
        const float bottom = at[in.stride] + fx * (at[in.stride + 1] - at[in.stride]);
        to[x] = top + fy * (bottom - top);
      }
    }
  }
}

// The image through `map` in [0, 1] -> `out` [channels, size, size].
void Warp(const Image& image, const Affine& map, const PipelineOptions& options,
          std::span<float> out) {
  const std::size_t values = static_cast<std::size_t>(image.width) * image.height * image.channels;
  Invariant(image.width == image.height && image.width > 0 &&
                (image.channels == 1 || image.channels == 3) &&
                (image.deep() ? image.u16.size() : image.u8.size()) == values,
            "image of ", image.width, " x ", image.height, " x ", image.channels,
            " is not a stored square");
  Invariant(out.size() == PixelCount(options), "pixel buffer of a wrong size");
  const int side = image.width, size = options.image_size;
  if (map.identity() && side == size) {
    WritePlanes(image, options.channels, out.data(), side, out.size() / options.channels);
    return;
  }
  Planes planes(side, options.channels);
  WritePlanes(image, options.channels, planes.plane(0) + planes.stride + 1, planes.stride,
              planes.plane_size());
  const int factor = std::max(static_cast<int>(map.side * side / size), 1);  // pixels a step
  if (factor > 1) planes = Shrink(planes, factor);
  planes.FillBorder();
  Resample(planes, static_cast<double>(side) / factor, map, size, out);
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

Affine DrawAffine(const PipelineOptions& options, Random& random) {
  Affine map;
  map.side = random.Uniform(options.min_crop, 1.0);
  map.centre_x = random.Uniform(map.side / 2, 1 - map.side / 2);
  map.centre_y = random.Uniform(map.side / 2, 1 - map.side / 2);
  map.shift_x = random.Uniform(-options.max_shift, options.max_shift);
  map.shift_y = random.Uniform(-options.max_shift, options.max_shift);
  const double angle = random.Uniform(-options.max_rotate, options.max_rotate) * M_PI / 180;
  map.cos = std::cos(angle);
  map.sin = std::sin(angle);
  return map;
}

RegionBoxes MapBoxes(const RegionBoxes& boxes, const Affine& map) {
  if (map.identity()) return boxes;
  RegionBoxes out;
  for (int r = 0; r < kRegions; ++r) {
    if (!boxes.valid[r]) continue;
    const Box& box = boxes.box[r];
    double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
    for (int corner = 0; corner < 4; ++corner) {
      double vx, vy;
      map.Forward(box.cx + (corner & 1 ? 0.5 : -0.5) * box.w,
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

}  // namespace

std::size_t PixelCount(const PipelineOptions& options) {
  return static_cast<std::size_t>(options.channels) * options.image_size * options.image_size;
}

void Prepare(const Image& image, const PipelineOptions& options, std::span<float> pixels) {
  Warp(image, Affine{}, options, pixels);
  Normalise(options, pixels);
}

std::vector<float> Prepare(const Record& record, const PipelineOptions& options) {
  std::vector<float> pixels(PixelCount(options));
  Prepare(record.image, options, pixels);
  return pixels;
}

RegionBoxes Augment(const Image& image, const RegionBoxes& boxes, const PipelineOptions& options,
                    Random& random, std::span<float> pixels) {
  const Affine map = DrawAffine(options, random);
  const double brightness = 1 + random.Uniform(-options.brightness, options.brightness);
  const double contrast = 1 + random.Uniform(-options.contrast, options.contrast);
  Warp(image, map, options, pixels);
  if (brightness != 1 || contrast != 1) {
    Photometric(static_cast<float>(brightness), static_cast<float>(contrast), pixels);
  }
  Normalise(options, pixels);
  return MapBoxes(boxes, map);
}

}  // namespace vesalius::data
