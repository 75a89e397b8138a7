// Pictures for people: an image enlarged to 8-bit RGB, and boxes drawn on it.
#include <algorithm>
#include <cmath>

#include "data/images/image_codec.h"

namespace vesalius::data {

Canvas ToCanvas(const Image& image, int zoom) {
  // Deep images are shown with their brightest pixel white: 12-bit films would be black otherwise.
  const int brightest = image.deep() ? *std::max_element(image.u16.begin(), image.u16.end()) : 255;
  Canvas canvas{image.width * zoom, image.height * zoom, {}};
  canvas.rgb.reserve(static_cast<std::size_t>(canvas.width) * canvas.height * 3);
  for (int y = 0; y < canvas.height; ++y)
    for (int x = 0; x < canvas.width; ++x)
      for (int c = 0; c < 3; ++c) {
        const std::size_t at =
            (static_cast<std::size_t>(y / zoom) * image.width + x / zoom) * image.channels +
            static_cast<std::size_t>(image.channels == 1 ? 0 : c);
        canvas.rgb.push_back(
            image.deep() ? static_cast<std::uint8_t>(image.u16[at] * 255 / std::max(1, brightest))
                         : image.u8[at]);
      }
  return canvas;
}

void DrawBox(Canvas& canvas, double x0, double y0, double x1, double y1, std::uint32_t rgb) {
  const auto column = [&](double x) {
    return static_cast<int>(std::clamp(std::floor(x), 0.0, canvas.width - 1.0));
  };
  const auto row = [&](double y) {
    return static_cast<int>(std::clamp(std::floor(y), 0.0, canvas.height - 1.0));
  };
  const auto dot = [&](int x, int y) {
    std::uint8_t* pixel = canvas.rgb.data() + (static_cast<std::size_t>(y) * canvas.width + x) * 3;
    pixel[0] = static_cast<std::uint8_t>(rgb >> 16);
    pixel[1] = static_cast<std::uint8_t>(rgb >> 8);
    pixel[2] = static_cast<std::uint8_t>(rgb);
  };
  const int left = column(x0), right = column(x1), top = row(y0), bottom = row(y1);
  for (int x = left; x <= right; ++x) dot(x, top), dot(x, bottom);
  for (int y = top; y <= bottom; ++y) dot(left, y), dot(right, y);
}

}  // namespace vesalius::data
