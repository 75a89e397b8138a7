// PNG and JPEG: what is decoded has the pixels that it claims and can be made grey and resized.
#include "data/images/image_codec.h"

#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vesalius::data::Image image;
  if (!vesalius::fuzz::Accepts(
          [&] { image = vesalius::data::DecodeImage(vesalius::fuzz::Text(data, size), "input"); }))
    return 0;
  const std::size_t values = static_cast<std::size_t>(image.width) * image.height *
                             static_cast<std::size_t>(image.channels);
  vesalius::fuzz::Check((image.deep() ? image.u16.size() : image.u8.size()) == values);
  vesalius::data::Geometry geometry;
  const vesalius::data::Image stored =
      vesalius::data::ResizePad(vesalius::data::ToGrey(image), 32, &geometry);
  vesalius::fuzz::Check(stored.width == 32 && stored.height == 32 && stored.channels == 1);
  return 0;
}
