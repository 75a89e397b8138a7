// Decoding against pixels that other programs decoded, files of every kind made here, damage, and
// the geometry of resizing.
#include "data/images/image_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/random.h"
#include "base/sha256.h"
#include "tests/data/image_fixtures.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using testing::HasSubstr;

std::string ErrorOf(const std::string& bytes) {
  try {
    DecodeImage(bytes, "film.png");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInvalidData);
    EXPECT_THAT(error.what(), HasSubstr("film.png"));
    return error.what();
  }
  return "";
}

std::vector<std::uint8_t> Noise(std::size_t n, std::uint64_t below = 256) {
  Random random(3, Purpose::kPhantom, n, below);
  std::vector<std::uint8_t> values(n);
  for (auto& value : values) value = static_cast<std::uint8_t>(random.Below(below));
  return values;
}

TEST(ImageCodec, Sha256KnownAnswers) {  // FIPS 180-4 examples
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// decoded_oracle.csv: pixels as another program decoded them; exact for PNG, and for JPEG with the
// defaults of libjpeg-turbo 2.1.
TEST(ImageCodec, AgreesWithAnotherDecoder) {
  const std::string folder = SharedData("data/cxr_pairs");
  if (folder.empty())
    GTEST_SKIP() << "the reference films are absent (see tests/util/shared_data.h)";
  const std::vector<std::string> lines =
      vesalius::Split(ReadFile(folder + "/decoded_oracle.csv"), '\n');
  int compared = 0;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = vesalius::Split(Trim(lines[i]), ',');
    if (cells.size() < 7) continue;
    SCOPED_TRACE(cells[0]);
    const Image image = DecodeImage(ReadFile(folder + "/images/" + cells[0]), cells[0]);
    ASSERT_EQ(std::to_string(image.width), cells[3]);
    ASSERT_EQ(std::to_string(image.height), cells[4]);
    ASSERT_FALSE(image.deep());
    std::string rgb;
    for (const std::uint8_t value : image.u8)
      rgb.append(image.channels == 1 ? 3 : 1, static_cast<char>(value));
    EXPECT_EQ(Sha256Hex(rgb), cells[6]);
    ++compared;
  }
  EXPECT_EQ(compared, 177);
}

TEST(ImageCodec, PngGreyOfEveryDepth) {
  for (const bool interlaced : {false, true})
    for (const int depth : {1, 2, 4, 8}) {
      const std::uint64_t levels = 1u << depth;
      const std::vector<std::uint8_t> samples = Noise(13 * 9, levels);
      const Image image = DecodeImage(
          EncodePng({13, 9, depth, PNG_COLOR_TYPE_GRAY, interlaced, {}, {}, samples}), "x");
      ASSERT_EQ(image.channels, 1);
      ASSERT_EQ(image.u8.size(), samples.size());
      for (std::size_t i = 0; i < samples.size(); ++i)
        ASSERT_EQ(image.u8[i], samples[i] * 255 / (levels - 1));
    }
}

TEST(ImageCodec, Png16BitKeepsAllBits) {
  const std::vector<std::uint8_t> samples = Noise(7 * 5 * 2);
  for (const bool interlaced : {false, true}) {
    const Image image =
        DecodeImage(EncodePng({7, 5, 16, PNG_COLOR_TYPE_GRAY, interlaced, {}, {}, samples}), "x");
    ASSERT_TRUE(image.deep());
    ASSERT_EQ(image.u16.size(), 35u);
    for (std::size_t i = 0; i < 35; ++i)
      EXPECT_EQ(image.u16[i], samples[2 * i] << 8 | samples[2 * i + 1]);
  }
}

TEST(ImageCodec, Png16BitRgbaDropsAlphaOnly) {
  const std::vector<std::uint8_t> samples = Noise(4 * 4 * 8);
  const Image image =
      DecodeImage(EncodePng({4, 4, 16, PNG_COLOR_TYPE_RGB_ALPHA, false, {}, {}, samples}), "x");
  ASSERT_EQ(image.channels, 3);
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t c = 0; c < 3; ++c)
      EXPECT_EQ(image.u16[i * 3 + c], samples[i * 8 + c * 2] << 8 | samples[i * 8 + c * 2 + 1]);
}

TEST(ImageCodec, PngAlphaLeavesColour) {
  const std::vector<std::uint8_t> samples = Noise(6 * 3 * 4);  // alpha is noise too, often zero
  const Image rgb =
      DecodeImage(EncodePng({6, 3, 8, PNG_COLOR_TYPE_RGB_ALPHA, true, {}, {}, samples}), "x");
  ASSERT_EQ(rgb.channels, 3);
  for (std::size_t i = 0; i < 18; ++i)
    for (std::size_t c = 0; c < 3; ++c) EXPECT_EQ(rgb.u8[i * 3 + c], samples[i * 4 + c]);
  const Image grey =
      DecodeImage(EncodePng({12, 3, 8, PNG_COLOR_TYPE_GRAY_ALPHA, false, {}, {}, samples}), "x");
  ASSERT_EQ(grey.channels, 1);
  for (std::size_t i = 0; i < 36; ++i) EXPECT_EQ(grey.u8[i], samples[i * 2]);
}

TEST(ImageCodec, PngPaletteIsExpanded) {
  PngSpec spec{8, 4, 4, PNG_COLOR_TYPE_PALETTE, false, {}, {}, Noise(32, 5)};
  for (int i = 0; i < 5; ++i)
    spec.palette.push_back({static_cast<png_byte>(40 * i), static_cast<png_byte>(200 - i), 7});
  for (const bool transparent : {false, true}) {
    if (transparent) spec.palette_alpha = {0, 128};
    const Image image = DecodeImage(EncodePng(spec), "x");
    ASSERT_EQ(image.channels, 3);
    ASSERT_EQ(image.u8.size(), 96u);
    for (std::size_t i = 0; i < 32; ++i) {
      EXPECT_EQ(image.u8[i * 3], 40 * spec.samples[i]);
      EXPECT_EQ(image.u8[i * 3 + 1], 200 - spec.samples[i]);
      EXPECT_EQ(image.u8[i * 3 + 2], 7);
    }
  }
}

TEST(ImageCodec, JpegGreyColourAndInks) {
  std::vector<std::uint8_t> grey, rgb, inks;
  for (int i = 0; i < 32 * 24; ++i) {
    const int x = i % 32, y = i / 32;
    grey.push_back(static_cast<std::uint8_t>(4 * x + 3 * y));
    for (const int v : {5 * x, 6 * y, 200 - 2 * x}) rgb.push_back(static_cast<std::uint8_t>(v));
    for (const int v : {5 * x, 6 * y, 10, 3 * x}) inks.push_back(static_cast<std::uint8_t>(v));
  }
  const auto near = [](const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 4) << i;
  };
  for (const bool progressive : {false, true}) {
    const Image one = DecodeImage(EncodeJpeg(32, 24, 1, JCS_GRAYSCALE, grey, progressive), "x");
    EXPECT_EQ(one.channels, 1);
    near(one.u8, grey);
    const Image three = DecodeImage(EncodeJpeg(32, 24, 3, JCS_RGB, rgb, progressive), "x");
    EXPECT_EQ(three.channels, 3);
    near(three.u8, rgb);
  }
  // libjpeg writes an Adobe marker for inks, whose values then count as inverted: 255 is no ink.
  const Image print = DecodeImage(EncodeJpeg(32, 24, 4, JCS_CMYK, inks), "x");
  std::vector<std::uint8_t> want;
  for (std::size_t i = 0; i < inks.size(); i += 4)
    for (std::size_t c = 0; c < 3; ++c)
      want.push_back(static_cast<std::uint8_t>(inks[i + c] * inks[i + 3] / 255));
  EXPECT_EQ(print.channels, 3);
  near(print.u8, want);
}

TEST(ImageCodec, TruncatedAnywhereIsInvalid) {
  const std::vector<std::uint8_t> samples = Noise(40 * 30);
  for (const std::string& bytes :
       {EncodePng({40, 30, 8, PNG_COLOR_TYPE_GRAY, false, {}, {}, samples}),
        EncodePng({40, 30, 8, PNG_COLOR_TYPE_GRAY, true, {}, {}, samples}),
        EncodeJpeg(40, 30, 1, JCS_GRAYSCALE, samples),
        EncodeJpeg(40, 30, 1, JCS_GRAYSCALE, samples, true)}) {
    ASSERT_EQ(ErrorOf(bytes), "");
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 16)
      EXPECT_NE(ErrorOf(bytes.substr(0, length)), "") << length << " of " << bytes.size();
    EXPECT_NE(ErrorOf(bytes.substr(0, bytes.size() - 1)), "");
  }
}

TEST(ImageCodec, BrokenOrForeign) {
  std::string png = GreyPng(20, 20, [](int x, int y) { return x * y; });
  png[png.size() / 2] ^= 0x55;
  EXPECT_NE(ErrorOf(png), "");
  EXPECT_THAT(ErrorOf("GIF89a..."), HasSubstr("neither PNG nor JPEG"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("empty"));
  // A header that claims 2^31-1 by 2^31-1 pixels is refused before memory is asked for.
  std::string huge = GreyPng(1, 1, [](int, int) { return 0; });
  for (const std::size_t at : {16u, 20u}) huge.replace(at, 4, std::string("\x7f\xff\xff\xff", 4));
  EXPECT_NE(ErrorOf(huge), "");
}

TEST(ImageCodec, LumaIsExactForGreyColours) {
  Image image{256, 1, 3, {}, {}};
  for (int v = 0; v < 256; ++v) image.u8.insert(image.u8.end(), 3, static_cast<std::uint8_t>(v));
  const Image grey = ToGrey(image);
  for (int v = 0; v < 256; ++v) EXPECT_EQ(grey.u8[v], v);
  EXPECT_EQ(ToGrey({1, 1, 3, {255, 0, 0}, {}}).u8[0], 76);
  EXPECT_EQ(ToGrey({1, 1, 3, {}, {65535, 65535, 65535}}).u16[0], 65535);
}

TEST(ImageCodec, ShrinkingAveragesAndPads) {
  Image image{8, 4, 1, {}, {}};
  for (int i = 0; i < 32; ++i) image.u8.push_back(static_cast<std::uint8_t>(i * 8));
  Geometry geometry;
  const Image square = ResizePad(image, 4, &geometry);
  EXPECT_EQ(geometry.original_width, 8);
  EXPECT_EQ(geometry.original_height, 4);
  EXPECT_EQ(geometry.scale, 0.5f);
  EXPECT_EQ(geometry.pad_left, 0);
  EXPECT_EQ(geometry.pad_top, 1);
  for (int x = 0; x < 4; ++x) {
    EXPECT_EQ(square.u8[x], 0);
    EXPECT_EQ(square.u8[12 + x], 0);
    for (int y = 0; y < 2; ++y)  // the mean of 2 x 2
      EXPECT_EQ(square.u8[(1 + y) * 4 + x], 8 * (2 * x + 16 * y) + 36);
  }
}

// A bright pixel lands where the geometry says, at any ratio: the centre of mass follows.
TEST(ImageCodec, GeometryMapsPoints) {
  for (const auto [width, height, size] :
       {std::array{300, 217, 64}, {97, 331, 48}, {20, 13, 64}, {64, 64, 64}, {1000, 3, 32}}) {
    const int px = width * 2 / 3, py = height / 3;
    Image image{width, height, 1, {}, std::vector<std::uint16_t>(width * height)};
    image.u16[py * width + px] = 60000;
    Geometry geometry;
    const Image square = ResizePad(image, size, &geometry);
    ASSERT_EQ(square.u16.size(), static_cast<std::size_t>(size * size));
    double sum = 0, x = 0, y = 0;
    for (int i = 0; i < size * size; ++i) {
      sum += square.u16[i];
      x += square.u16[i] * (i % size + 0.5);
      y += square.u16[i] * (i / size + 0.5);
    }
    ASSERT_GT(sum, 0) << width;
    EXPECT_NEAR(x / sum, (px + 0.5) * geometry.scale + geometry.pad_left, 0.51);
    EXPECT_NEAR(y / sum, (py + 0.5) * geometry.scale + geometry.pad_top, 0.51);
  }
}

TEST(ImageCodec, SameSizeIsIdentity) {
  Image image{5, 5, 3, Noise(75), {}};
  Geometry geometry;
  EXPECT_EQ(ResizePad(image, 5, &geometry).u8, image.u8);
  EXPECT_EQ(geometry.scale, 1);
}

TEST(ImageCodec, WrittenPictureReadsBack) {
  const TempDir dir;
  Canvas canvas = ToCanvas({2, 1, 1, {10, 250}, {}}, 4);
  DrawBox(canvas, 1.5, 1, 99, 2.2, 0xFF8000);
  WritePng(dir.path() + "/x.png", canvas);
  const Image image = DecodeImage(ReadFile(dir.path() + "/x.png"), "x");
  EXPECT_EQ(image.width, 8);
  EXPECT_EQ(image.height, 4);
  EXPECT_EQ(image.u8, canvas.rgb);
  EXPECT_EQ(image.u8[0], 10);
  const std::size_t corner = (1 * 8 + 1) * 3;
  EXPECT_EQ(image.u8[corner], 0xFF);
  EXPECT_EQ(image.u8[corner + 1], 0x80);
  EXPECT_EQ(image.u8[(1 * 8 + 7) * 3], 0xFF);  // clipped to the border
  try {
    WritePng("/proc/x.png", canvas);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kCannotCreate);
  }
}

}  // namespace
}  // namespace vesalius::data
