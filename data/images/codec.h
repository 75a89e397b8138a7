// The decoders behind DecodeImage (data/images/image_codec.h), one a file format.
#pragma once

#include <string>
#include <string_view>

#include "data/images/image_codec.h"

namespace vesalius::data {

Image DecodePng(std::string_view bytes, const std::string& name);
Image DecodeJpeg(std::string_view bytes, const std::string& name);

// width * height * channels, refused above a limit that no radiograph reaches and above `most`
// pixels, which is what a file of its size can hold at all: a damaged or hostile header does not
// exhaust the memory. Error(kInvalidData).
std::size_t PixelCount(const Image& image, std::uint64_t most, const std::string& name);

}  // namespace vesalius::data
