#include "data/augment.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr double kKeptShare = 0.5;  // of a box's area that must remain inside

// Square planes [channels, side, side] of values in [0, 1].
struct Planes {
  int side = 0, channels = 1;
  std::vector<float> values;
  const float* plane(int channel) const {
    return values.data() + static_cast<std::size_t>(channel) * side * side;
  }
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

template <typename Value>
void FillPlanes(const std::vector<Value>& in, int in_channels, float max, Planes* out) {
  const std::size_t area = static_cast<std::size_t>(out->side) * out->side;
  float* to = out->values.data();
  if (in_channels == out->channels) {
    for (int c = 0; c < in_channels; ++c) {
      for (std::size_t i = 0; i < area; ++i) to[c * area + i] = in[i * in_channels + c] / max;
    }
  } else if (in_channels == 1) {
    for (std::size_t i = 0; i < area; ++i) to[i] = in[i] / max;
    for (int c = 1; c < out->channels; ++c) std::copy_n(to, area, to + c * area);
  } else {
    for (std::size_t i = 0; i < area; ++i) {
      to[i] = (0.299f * in[3 * i] + 0.587f * in[3 * i + 1] + 0.114f * in[3 * i + 2]) / max;
    }
  }
}

Planes ToPlanes(const Image& image, int channels) {
  const std::size_t values = static_cast<std::size_t>(image.width) * image.height * image.channels;
  Invariant(image.width == image.height && image.width > 0 &&
                (image.channels == 1 || image.channels == 3) &&
                (image.deep() ? image.u16.size() : image.u8.size()) == values,
            "image of ", image.width, " x ", image.height, " x ", image.channels,
            " is not a stored square");
  Planes planes{image.width, channels, {}};
  planes.values.resize(static_cast<std::size_t>(channels) * image.width * image.width);
  if (image.deep()) {
    FillPlanes(image.u16, image.channels, 65535.0f, &planes);
  } else {
    FillPlanes(image.u8, image.channels, 255.0f, &planes);
  }
  return planes;
}

// Means over blocks of `factor` x `factor` pixels (fewer at the far edges).
Planes Shrink(const Planes& in, int factor) {
  Planes out{(in.side + factor - 1) / factor, in.channels, {}};
  out.values.reserve(static_cast<std::size_t>(out.channels) * out.side * out.side);
  for (int c = 0; c < in.channels; ++c) {
    for (int by = 0; by < in.side; by += factor) {
      for (int bx = 0; bx < in.side; bx += factor) {
        const int y1 = std::min(by + factor, in.side), x1 = std::min(bx + factor, in.side);
        float sum = 0;
        for (int y = by; y < y1; ++y) {
          for (int x = bx; x < x1; ++x) sum += in.plane(c)[y * in.side + x];
        }
        out.values.push_back(sum / static_cast<float>((y1 - by) * (x1 - bx)));
      }
    }
  }
  return out;
}

// Bilinear; the edge pixels extend to the image's border, beyond it is black.
void Resample(const Planes& in, double extent, const Affine& map, int size, std::span<float> out) {
  const std::size_t area = static_cast<std::size_t>(size) * size;
  double x00, y00, x10, y10;  // the map is affine: one step along a row is a constant
  map.Inverse(0, 0, &x00, &y00);
  map.Inverse(1, 0, &x10, &y10);
  const double step_x = (x10 - x00) * extent / size, step_y = (y10 - y00) * extent / size;
  const double last = in.side - 1;
  for (int y = 0; y < size; ++y) {
    double row_x, row_y;
    map.Inverse(0.5 / size, (y + 0.5) / size, &row_x, &row_y);
    for (int x = 0; x < size; ++x) {
      const double sx = row_x * extent + x * step_x, sy = row_y * extent + x * step_y;
      const std::size_t to = static_cast<std::size_t>(y) * size + x;
      if (sx < 0 || sy < 0 || sx > extent || sy > extent) {
        for (int c = 0; c < in.channels; ++c) out[c * area + to] = 0;
        continue;
      }
      const double px = std::clamp(sx - 0.5, 0.0, last), py = std::clamp(sy - 0.5, 0.0, last);
      const int x0 = static_cast<int>(px), y0 = static_cast<int>(py);
      const int right = x0 + 1 < in.side ? 1 : 0, down = y0 + 1 < in.side ? in.side : 0;
      const float fx = static_cast<float>(px - x0), fy = static_cast<float>(py - y0);
      for (int c = 0; c < in.channels; ++c) {
        const float* at = in.plane(c) + y0 * in.side + x0;
        const float top = at[0] + fx * (at[right] - at[0]);
        const float bottom = at[down] + fx * (at[down + right] - at[down]);
        out[c * area + to] = top + fy * (bottom - top);
      }
    }
  }
}

void Warp(Planes planes, const Affine& map, int size, std::span<float> out) {
  if (map.identity() && planes.side == size) {
    std::copy(planes.values.begin(), planes.values.end(), out.begin());
    return;
  }
  const int factor = static_cast<int>(map.side * planes.side / size);  // source pixels a step
  const double extent = static_cast<double>(planes.side) / std::max(factor, 1);
  if (factor >= 2) planes = Shrink(planes, factor);
  Resample(planes, extent, map, size, out);
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
  Invariant(pixels.size() == PixelCount(options), "pixel buffer of a wrong size");
  Warp(ToPlanes(image, options.channels), Affine{}, options.image_size, pixels);
  Normalise(options, pixels);
}

std::vector<float> Prepare(const Record& record, const PipelineOptions& options) {
  std::vector<float> pixels(PixelCount(options));
  Prepare(record.image, options, pixels);
  return pixels;
}

RegionBoxes Augment(const Image& image, const RegionBoxes& boxes, const PipelineOptions& options,
                    Random& random, std::span<float> pixels) {
  Invariant(pixels.size() == PixelCount(options), "pixel buffer of a wrong size");
  const Affine map = DrawAffine(options, random);
  const double brightness = 1 + random.Uniform(-options.brightness, options.brightness);
  const double contrast = 1 + random.Uniform(-options.contrast, options.contrast);
  Warp(ToPlanes(image, options.channels), map, options.image_size, pixels);
  if (brightness != 1 || contrast != 1) {
    Photometric(static_cast<float>(brightness), static_cast<float>(contrast), pixels);
  }
  Normalise(options, pixels);
  return MapBoxes(boxes, map);
}

}  // namespace vesalius::data
