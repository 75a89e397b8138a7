#include "data/images/image_codec.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/images/codec.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kMaxValues = std::size_t{1} << 29;

template <typename T>
std::vector<T> Luma(const std::vector<T>& rgb) {
  std::vector<T> grey;
  grey.reserve(rgb.size() / 3);
  for (std::size_t i = 0; i + 2 < rgb.size(); i += 3)
    grey.push_back(
        static_cast<T>((299u * rgb[i] + 587u * rgb[i + 1] + 114u * rgb[i + 2] + 500) / 1000));
  return grey;
}

// How one output pixel mixes input pixels along an axis: `weights` from `first` on.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

// Output pixel i covers [i / scale, (i + 1) / scale) of the input: the average when shrinking, the
// linear interpolation at its centre when growing. The border is repeated.
std::vector<Taps> MakeTaps(int in, int out, double scale) {
  std::vector<Taps> taps(static_cast<std::size_t>(out));
  for (int i = 0; i < out; ++i) {
    Taps& tap = taps[static_cast<std::size_t>(i)];
    if (scale >= 1) {
      const double centre = std::clamp((i + 0.5) / scale - 0.5, 0.0, in - 1.0);
      tap.first = static_cast<int>(centre);
      const auto share = static_cast<float>(centre - tap.first);
      tap.weights = {1 - share};
      if (share > 0) tap.weights.push_back(share);
      continue;
    }
    const double low = std::min(i / scale, in - 1.0), high = std::min((i + 1) / scale, double(in));
    tap.first = static_cast<int>(low);
    for (int x = tap.first; x < high; ++x)
      tap.weights.push_back(
          static_cast<float>((std::min(high, x + 1.0) - std::max(low, double(x))) / (high - low)));
  }
  return taps;
}

// `in` [height, width, channels] resampled to [rows.size(), columns.size(), channels].
template <typename T>
std::vector<float> Resample(const std::vector<T>& in, int width, int height, int channels,
                            const std::vector<Taps>& columns, const std::vector<Taps>& rows) {
  const std::size_t in_stride = static_cast<std::size_t>(width) * channels;
  const std::size_t stride = columns.size() * static_cast<std::size_t>(channels);
  std::vector<float> narrow(static_cast<std::size_t>(height) * stride);
  for (int y = 0; y < height; ++y) {
    const T* line = in.data() + static_cast<std::size_t>(y) * in_stride;
    float* to = narrow.data() + static_cast<std::size_t>(y) * stride;
    for (const Taps& tap : columns)
      for (int c = 0; c < channels; ++c, ++to)
        for (std::size_t k = 0; k < tap.weights.size(); ++k)
          *to += tap.weights[k] *
                 static_cast<float>(line[(tap.first + k) * static_cast<std::size_t>(channels) + c]);
  }
  std::vector<float> out(rows.size() * stride);
  for (std::size_t y = 0; y < rows.size(); ++y)
    for (std::size_t k = 0; k < rows[y].weights.size(); ++k) {
      const float weight = rows[y].weights[k];
      const float* line = narrow.data() + (static_cast<std::size_t>(rows[y].first) + k) * stride;
      for (std::size_t x = 0; x < stride; ++x) out[y * stride + x] += weight * line[x];
    }
  return out;
}

// Puts `content` [height, width, channels], rounded, into a square of zeros.
template <typename T>
std::vector<T> Place(const std::vector<float>& content, int width, int height, int channels,
                     int size, const Geometry& geometry) {
  std::vector<T> square(static_cast<std::size_t>(size) * size * static_cast<std::size_t>(channels));
  const auto line = static_cast<std::size_t>(width) * channels;
  for (int y = 0; y < height; ++y) {
    const float* from = content.data() + static_cast<std::size_t>(y) * line;
    T* to = square.data() +
            (static_cast<std::size_t>(y + geometry.pad_top) * size + geometry.pad_left) * channels;
    for (std::size_t x = 0; x < line; ++x) to[x] = static_cast<T>(std::lround(from[x]));
  }
  return square;
}

}  // namespace

std::size_t PixelCount(const Image& image, std::uint64_t most, const std::string& name) {
  Require(image.width > 0 && image.height > 0, ExitCode::kInvalidData, name, " has no pixels");
  const std::size_t count = static_cast<std::size_t>(image.width) *
                            static_cast<std::size_t>(image.height) *
                            static_cast<std::size_t>(image.channels);
  Require(count <= kMaxValues, ExitCode::kInvalidData, name, " claims ", image.width, " x ",
          image.height, " pixels, more than is accepted");
  Require(
      static_cast<std::uint64_t>(image.width) * static_cast<std::uint64_t>(image.height) <= most,
      ExitCode::kInvalidData, name, " claims ", image.width, " x ", image.height,
      " pixels, more than a file of its size can hold: it is damaged or truncated");
  return count;
}

Image DecodeImage(std::string_view bytes, const std::string& name) {
  constexpr std::string_view kPng("\x89PNG\r\n\x1a\n", 8), kJpeg("\xff\xd8\xff", 3);
  Require(!bytes.empty(), ExitCode::kInvalidData, name, " is empty");
  if (bytes.starts_with(kPng)) return DecodePng(bytes, name);
  if (bytes.starts_with(kJpeg)) return DecodeJpeg(bytes, name);
  Fail(ExitCode::kInvalidData, name, " is neither PNG nor JPEG by its content");
}

Image ToGrey(const Image& image) {
  if (image.channels == 1) return image;
  return {image.width, image.height, 1, Luma(image.u8), Luma(image.u16)};
}

Image ResizePad(const Image& image, int size, Geometry* geometry) {
  const double scale = static_cast<double>(size) / std::max(image.width, image.height);
  const auto fitted = [&](int side) {
    return std::clamp(static_cast<int>(std::lround(side * scale)), 1, size);
  };
  const int width = fitted(image.width), height = fitted(image.height);
  *geometry = {image.width, image.height, static_cast<float>(scale), (size - width) / 2,
               (size - height) / 2};
  const std::vector<Taps> columns = MakeTaps(image.width, width, scale);
  const std::vector<Taps> rows = MakeTaps(image.height, height, scale);
  Image square{size, size, image.channels, {}, {}};
  const auto resample = [&](const auto& values) {
    return Resample(values, image.width, image.height, image.channels, columns, rows);
  };
  if (image.deep())
    square.u16 =
        Place<std::uint16_t>(resample(image.u16), width, height, image.channels, size, *geometry);
  else
    square.u8 =
        Place<std::uint8_t>(resample(image.u8), width, height, image.channels, size, *geometry);
  return square;
}

}  // namespace vesalius::data
