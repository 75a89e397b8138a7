// PNG by libpng. Its errors are longjmps: each function that calls it between setjmp and return
// keeps nothing with a destructor in its own frame; the state lives with the caller.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "data/images/codec.h"

namespace vesalius::data {
namespace {

constexpr std::uint64_t kMostInflation = 1032;  // of deflate: 258 bytes from two bits

struct Reader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const char* next = nullptr;
  std::size_t left = 0;
  std::uint64_t pixel_bits = 1;  // of the file, before it is expanded
  char message[200] = "broken";
  std::vector<png_bytep> rows;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Writer {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string bytes;
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

[[noreturn]] void OnReadError(png_structp png, png_const_charp message) {
  auto* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::strncpy(reader->message, message, sizeof(reader->message) - 1);
  png_longjmp(png, 1);
}

[[noreturn]] void OnWriteError(png_structp png, png_const_charp) { png_longjmp(png, 1); }

void OnWarning(png_structp, png_const_charp) {}

void ReadBytes(png_structp png, png_bytep out, png_size_t bytes) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (bytes > reader->left) png_error(png, "the file ends early: it is truncated");
  std::memcpy(out, reader->next, bytes);
  reader->next += bytes;
  reader->left -= bytes;
}

// Reads the header and asks for grey or RGB of 8 or 16 bits; false on an error.
bool ReadHeader(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, &reader, ReadBytes);
  png_read_info(reader.png, reader.info);
  const png_byte colour = png_get_color_type(reader.png, reader.info);
  const png_byte depth = png_get_bit_depth(reader.png, reader.info);
  reader.pixel_bits = std::uint64_t{depth} * png_get_channels(reader.png, reader.info);
  if (colour == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(reader.png);
  if (colour == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(reader.png);
  // A transparent colour stays a colour: only alpha channels, also those of palettes, are dropped.
  if (colour & PNG_COLOR_MASK_ALPHA || png_get_valid(reader.png, reader.info, PNG_INFO_tRNS))
    png_set_strip_alpha(reader.png);
  if (depth == 16) png_set_swap(reader.png);  // to little-endian
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

// Reads all rows and the end of the file; false on an error.
bool ReadPixels(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_read_image(reader.png, reader.rows.data());
  png_read_end(reader.png, nullptr);
  return true;
}

bool WriteImage(Writer& writer, const Canvas& canvas) {
  if (setjmp(png_jmpbuf(writer.png))) return false;
  png_set_write_fn(
      writer.png, &writer.bytes,
      [](png_structp png, png_bytep data, png_size_t bytes) {
        static_cast<std::string*>(png_get_io_ptr(png))
            ->append(reinterpret_cast<const char*>(data), bytes);
      },
      nullptr);
  png_set_IHDR(writer.png, writer.info, static_cast<png_uint_32>(canvas.width),
               static_cast<png_uint_32>(canvas.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writer.png, writer.info);
  for (int y = 0; y < canvas.height; ++y)
    png_write_row(writer.png, canvas.rgb.data() + static_cast<std::size_t>(y) * canvas.width * 3);
  png_write_end(writer.png, nullptr);
  return true;
}

}  // namespace

Image DecodePng(std::string_view bytes, const std::string& name) {
  Reader reader;
  reader.next = bytes.data();
  reader.left = bytes.size();
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, OnReadError, OnWarning);
  reader.info = png_create_info_struct(reader.png);
  Invariant(reader.png != nullptr && reader.info != nullptr, "libpng cannot start");
  Require(ReadHeader(reader), ExitCode::kInvalidData, name,
          ": PNG cannot be read: ", reader.message);

  Image image;
  image.width = static_cast<int>(png_get_image_width(reader.png, reader.info));
  image.height = static_cast<int>(png_get_image_height(reader.png, reader.info));
  image.channels = png_get_channels(reader.png, reader.info);
  const bool deep = png_get_bit_depth(reader.png, reader.info) == 16;
  Require(image.channels == 1 || image.channels == 3, ExitCode::kInvalidData, name, ": PNG with ",
          image.channels, " channels");
  const std::size_t count =
      PixelCount(image, bytes.size() * kMostInflation * 8 / reader.pixel_bits, name);
  deep ? image.u16.resize(count) : image.u8.resize(count);
  auto* first = deep ? reinterpret_cast<png_bytep>(image.u16.data()) : image.u8.data();
  const std::size_t stride = count / static_cast<std::size_t>(image.height) * (deep ? 2 : 1);
  for (int y = 0; y < image.height; ++y)
    reader.rows.push_back(first + static_cast<std::size_t>(y) * stride);
  Require(ReadPixels(reader), ExitCode::kInvalidData, name,
          ": PNG cannot be read: ", reader.message);
  return image;
}

void WritePng(const std::string& path, const Canvas& canvas) {
  Writer writer;
  writer.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, OnWriteError, OnWarning);
  writer.info = png_create_info_struct(writer.png);
  Invariant(writer.png != nullptr && writer.info != nullptr && WriteImage(writer, canvas),
            "libpng cannot encode a picture of ", canvas.width, " x ", canvas.height);
  WriteFileAtomic(path, writer.bytes);
}

}  // namespace vesalius::data
