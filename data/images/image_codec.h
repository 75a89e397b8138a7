// Decoding PNG and JPEG by content, never by extension; resizing; PNG writing and drawing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/record.h"

namespace vesalius::data {

// Any PNG (grey, RGB, palette, alpha, 1-16 bit) or JPEG (grey, YCbCr, CMYK). RGB and RGBA keep
// their colour (alpha dropped); palettes are expanded. Channels: 1 or 3. Broken or truncated:
// kInvalidData.
Image DecodeImage(std::string_view bytes, const std::string& name);

// Luma (ITU-R 601: 0.299 R + 0.587 G + 0.114 B), same depth.
Image ToGrey(const Image& image);

// Long side resized to `size` (area-averaging when shrinking, bilinear when growing), short side
// centred on zeros. `geometry` receives scale and padding.
Image ResizePad(const Image& image, int size, Geometry* geometry);

struct Canvas {  // 8-bit RGB
  int width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};
Canvas ToCanvas(const Image& image, int zoom);
// A one-pixel rectangle, coordinates in canvas pixels.
void DrawBox(Canvas& canvas, double x0, double y0, double x1, double y1, std::uint32_t rgb);
void WritePng(const std::string& path, const Canvas& canvas);

}  // namespace vesalius::data
