// JPEG by libjpeg-turbo with its defaults (accurate DCT, smooth upsampling), as other readers have
// them. Its errors are longjmps: see the rule in png_codec.cc.
#include <cstddef>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>

#include "base/error.h"
#include "data/images/codec.h"

namespace vesalius::data {
namespace {

// Huffman codes need a bit for a block of 64 pixels; arithmetic coding of emptiness may do with
// less.
constexpr std::uint64_t kMostPixelsPerByte = 4096;

struct Reader {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "broken";
  std::vector<JSAMPROW> rows;
  ~Reader() { jpeg_destroy_decompress(&jpeg); }
};

[[noreturn]] void OnError(j_common_ptr jpeg) {
  auto* reader = static_cast<Reader*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, reader->message);
  std::longjmp(reader->jump, 1);
}

// The library goes on after damage and fills in grey; for us damage is an error. Warnings about odd
// but harmless headers and stray bytes are none.
void OnMessage(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_TOO_MUCH_DATA:
      return;
    default:
      OnError(jpeg);
  }
}

bool ReadHeader(Reader& reader, std::string_view bytes) {
  if (setjmp(reader.jump)) return false;
  jpeg_create_decompress(&reader.jpeg);
  reader.jpeg.client_data = &reader;
  jpeg_mem_src(&reader.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&reader.jpeg, TRUE);
  const J_COLOR_SPACE space = reader.jpeg.jpeg_color_space;
  reader.jpeg.out_color_space = space == JCS_GRAYSCALE                   ? JCS_GRAYSCALE
                                : space == JCS_CMYK || space == JCS_YCCK ? JCS_CMYK
                                                                         : JCS_RGB;
  jpeg_calc_output_dimensions(&reader.jpeg);
  return true;
}

bool ReadPixels(Reader& reader) {
  if (setjmp(reader.jump)) return false;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  jpeg_start_decompress(&jpeg);
  while (jpeg.output_scanline < jpeg.output_height)
    jpeg_read_scanlines(&jpeg, reader.rows.data() + jpeg.output_scanline,
                        jpeg.output_height - jpeg.output_scanline);
  jpeg_finish_decompress(&jpeg);
  return true;
}

// Inks to light. Adobe's files store the inks inverted.
Image CmykToRgb(const Image& cmyk, bool inverted) {
  Image rgb{cmyk.width, cmyk.height, 3, {}, {}};
  rgb.u8.reserve(cmyk.u8.size() / 4 * 3);
  for (std::size_t i = 0; i < cmyk.u8.size(); i += 4) {
    const int white = inverted ? cmyk.u8[i + 3] : 255 - cmyk.u8[i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const int light = inverted ? cmyk.u8[i + c] : 255 - cmyk.u8[i + c];
      rgb.u8.push_back(static_cast<std::uint8_t>((light * white + 127) / 255));
    }
  }
  return rgb;
}

}  // namespace

Image DecodeJpeg(std::string_view bytes, const std::string& name) {
  Reader reader;
  reader.jpeg.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = OnError;
  reader.errors.emit_message = OnMessage;
  reader.jpeg.client_data = &reader;
  Require(ReadHeader(reader, bytes), ExitCode::kInvalidData, name,
          ": JPEG cannot be read: ", reader.message);
  Image image;
  image.width = static_cast<int>(reader.jpeg.output_width);
  image.height = static_cast<int>(reader.jpeg.output_height);
  image.channels = reader.jpeg.output_components;
  const std::size_t count = PixelCount(image, bytes.size() * kMostPixelsPerByte, name);
  image.u8.resize(count);
  const std::size_t stride = count / static_cast<std::size_t>(image.height);
  for (int y = 0; y < image.height; ++y)
    reader.rows.push_back(image.u8.data() + static_cast<std::size_t>(y) * stride);
  Require(ReadPixels(reader), ExitCode::kInvalidData, name,
          ": JPEG cannot be read: ", reader.message);
  return image.channels == 4 ? CmykToRgb(image, reader.jpeg.saw_Adobe_marker) : image;
}

}  // namespace vesalius::data
