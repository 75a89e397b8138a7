// Pixels and boxes: exact without augmentation, and the boxes really follow what is painted.
#include "data/loader/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace vesalius::data {
namespace {

RegionBoxes Augment(const Image& image, const RegionBoxes& boxes, const PipelineOptions& options,
                    Random& random, std::span<float> pixels) {
  const Look look = DrawLook(options, random);
  Render(image, {}, image.width, look, options, pixels);
  return MapBoxes(boxes, look);
}

Image Grey(int size, std::uint8_t value = 0) {
  Image image{size, size, 1, {}, {}};
  image.u8.assign(static_cast<std::size_t>(size) * size, value);
  return image;
}

PipelineOptions Plain(int size) {  // pixels come out in [0, 1]
  PipelineOptions options;
  options.image_size = size;
  options.mean = 0;
  options.std = 1;
  return options;
}

PipelineOptions Geometric(int size) {
  PipelineOptions options = Plain(size);
  options.augment = true;
  options.min_crop = 0.7;
  options.max_shift = 0.1;
  options.max_rotate = 10;
  return options;
}

std::vector<float> PreparedOf(const Image& image, const PipelineOptions& options) {
  Record record;
  record.image = image;
  return Prepare(record, options);
}

TEST(Prepare, IsExactlyNormalised) {
  Image image = Grey(16);
  for (int i = 0; i < 256; ++i) image.u8[i] = static_cast<std::uint8_t>(i);
  PipelineOptions options;
  options.image_size = 16;
  const std::vector<float> pixels = PreparedOf(image, options);
  ASSERT_EQ(pixels.size(), 256u);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(pixels[i], (i / 255.0f - 0.4f) / 0.25f) << i;
}

TEST(Prepare, SixteenBitsAreScaledByTheirMaximum) {
  Image image{2, 2, 1, {}, {0, 1, 32768, 65535}};
  const std::vector<float> pixels = PreparedOf(image, Plain(2));
  EXPECT_EQ(pixels, (std::vector<float>{0, 1 / 65535.0f, 32768 / 65535.0f, 1}));
}

TEST(Prepare, Channels) {
  Image grey = Grey(2, 51);
  PipelineOptions three = Plain(2);
  three.channels = 3;
  EXPECT_EQ(PreparedOf(grey, three), std::vector<float>(12, 0.2f));

  Image colour{1, 1, 3, {255, 51, 0}, {}};
  const std::vector<float> luma = PreparedOf(colour, Plain(1));
  ASSERT_EQ(luma.size(), 1u);
  EXPECT_NEAR(luma[0], 0.299 + 0.587 * 0.2, 1e-6);
  three.image_size = 1;
  EXPECT_EQ(PreparedOf(colour, three), (std::vector<float>{1.0f, 0.2f, 0.0f}));
}

TEST(Prepare, ShrinkingAveragesAndGrowingInterpolates) {
  Image image = Grey(4);
  for (int i = 0; i < 16; ++i) image.u8[i] = static_cast<std::uint8_t>(i);
  const std::vector<float> half = PreparedOf(image, Plain(2));
  ASSERT_EQ(half.size(), 4u);
  const float expected[] = {2.5f, 4.5f, 10.5f, 12.5f};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(half[i] * 255, expected[i], 1e-4);

  const std::vector<float> twice = PreparedOf(image, Plain(8));
  // Pixel (x, y) of the output lies at (x - .5) / 2 of the input's pixel centres, edges extended.
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      const double sx = std::clamp((x - 0.5) / 2, 0.0, 3.0),
                   sy = std::clamp((y - 0.5) / 2, 0.0, 3.0);
      EXPECT_NEAR(twice[y * 8 + x] * 255, sx + 4 * sy, 1e-4);
    }
  }
  // A size that divides neither way keeps the mean of a constant.
  for (const float value : PreparedOf(Grey(37, 102), Plain(16))) EXPECT_NEAR(value, 0.4, 1e-6);
  for (const float value : PreparedOf(Grey(37, 102), Plain(50))) EXPECT_NEAR(value, 0.4, 1e-6);
}

TEST(Augment, NothingToDoChangesNothing) {
  Image image = Grey(8);
  for (int i = 0; i < 64; ++i) image.u8[i] = static_cast<std::uint8_t>(3 * i);
  RegionBoxes boxes;
  boxes.box[4] = {0.3f, 0.7f, 0.123f, 0.45f};
  boxes.valid[4] = 1;
  PipelineOptions options = Plain(8);
  options.augment = true;
  Random random(1, Purpose::kAugment);
  std::vector<float> pixels(64);
  const RegionBoxes out = Augment(image, boxes, options, random, pixels);
  EXPECT_EQ(pixels, PreparedOf(image, options));
  EXPECT_EQ(out.valid, boxes.valid);
  EXPECT_EQ(out.box[4].cx, boxes.box[4].cx);
  EXPECT_EQ(out.box[4].cy, boxes.box[4].cy);
  EXPECT_EQ(out.box[4].w, boxes.box[4].w);
  EXPECT_EQ(out.box[4].h, boxes.box[4].h);
}

// What is painted over a box must fill the mapped box and stay inside it, whatever is drawn and
// whatever the size of the output.
TEST(Augment, PaintedBoxesStayInTheirBoxes) {
  constexpr int kStored = 64;
  RegionBoxes boxes;
  boxes.box[0] = {(12 + 30) / 2.0f / kStored, (20 + 52) / 2.0f / kStored, 18.0f / kStored,
                  32.0f / kStored};
  boxes.valid[0] = 1;
  Image image = Grey(kStored);
  for (int y = 20; y < 52; ++y) {
    for (int x = 12; x < 30; ++x) image.u8[y * kStored + x] = 255;
  }
  for (const int size : {64, 48, 112}) {
    const PipelineOptions options = Geometric(size);
    int kept = 0;
    for (int draw = 0; draw < 300; ++draw) {
      Random random(9, Purpose::kAugment, draw);
      std::vector<float> pixels(PixelCount(options));
      const RegionBoxes out = Augment(image, boxes, options, random, pixels);
      if (!out.valid[0]) continue;
      ++kept;
      double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;  // hull of the painted pixels
      for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; ++x) {
          if (pixels[y * size + x] <= 0.5f) continue;
          x0 = std::min(x0, x + 0.5), x1 = std::max(x1, x + 0.5);
          y0 = std::min(y0, y + 0.5), y1 = std::max(y1, y + 0.5);
        }
      }
      const Box& box = out.box[0];
      const double edges[] = {(box.cx - box.w / 2) * size, (box.cy - box.h / 2) * size,
                              (box.cx + box.w / 2) * size, (box.cy + box.h / 2) * size};
      constexpr double kOutside = 0.25;           // bilinear blur of a rotated edge
      const double inside = 2.5 * size / 64 + 1;  // cut corners of the rotated square
      EXPECT_GE(x0, edges[0] - kOutside);
      EXPECT_GE(y0, edges[1] - kOutside);
      EXPECT_LE(x1, edges[2] + kOutside);
      EXPECT_LE(y1, edges[3] + kOutside);
      EXPECT_LE(x0, edges[0] + inside);
      EXPECT_LE(y0, edges[1] + inside);
      EXPECT_GE(x1, edges[2] - inside);
      EXPECT_GE(y1, edges[3] - inside);
    }
    EXPECT_GT(kept, 200);
  }
}

// A small box that never leaves tells the shift that was drawn; from it follows what must remain of
// a box at the edge.
TEST(Augment, BoxesAreKeptWhereHalfOfThemRemains) {
  RegionBoxes boxes;
  boxes.box[0] = {0.5f, 0.5f, 0.02f, 0.02f};
  boxes.box[1] = {0.1f, 0.15f, 0.2f, 0.3f};
  boxes.valid[0] = boxes.valid[1] = 1;
  boxes.box[2] = {0.5f, 0.5f, 0.5f, 0.5f};  // not valid: stays so
  PipelineOptions options = Plain(8);
  options.augment = true;
  options.max_shift = 0.3;
  const Image image = Grey(8);
  std::vector<float> pixels(64);
  int kept = 0, dropped = 0;
  for (int draw = 0; draw < 500; ++draw) {
    Random random(3, Purpose::kAugment, draw);
    const RegionBoxes out = Augment(image, boxes, options, random, pixels);
    ASSERT_TRUE(out.valid[0]);
    EXPECT_FALSE(out.valid[2]);
    const double dx = out.box[0].cx - 0.5, dy = out.box[0].cy - 0.5;
    const double w = std::max(0.2 + std::min(dx, 0.0), 0.0);
    const double h = std::max(0.3 + std::min(dy, 0.0), 0.0);
    const double share = w * h / 0.06;
    if (std::abs(share - 0.5) < 1e-3) continue;
    EXPECT_EQ(out.valid[1] != 0, share > 0.5) << share;
    (out.valid[1] ? kept : dropped)++;
    if (!out.valid[1]) {
      EXPECT_EQ(out.box[1].w, 0);
      continue;
    }
    EXPECT_NEAR(out.box[1].w, w, 1e-6);
    EXPECT_NEAR(out.box[1].h, h, 1e-6);
    EXPECT_NEAR(out.box[1].cx - out.box[1].w / 2, std::max(dx, 0.0), 1e-6);
    EXPECT_NEAR(out.box[1].cy - out.box[1].h / 2, std::max(dy, 0.0), 1e-6);
  }
  EXPECT_GT(kept, 100);
  EXPECT_GT(dropped, 50);
}

TEST(Augment, BrightnessAndContrast) {
  PipelineOptions options = Plain(4);
  options.augment = true;
  options.brightness = 0.2;
  double sum = 0, least = 1, most = 0;
  std::vector<float> pixels(16);
  for (int draw = 0; draw < 400; ++draw) {
    Random random(5, Purpose::kAugment, draw);
    Augment(Grey(4, 102), {}, options, random, pixels);
    for (const float value : pixels) EXPECT_EQ(value, pixels[0]);
    sum += pixels[0];
    least = std::min<double>(least, pixels[0]);
    most = std::max<double>(most, pixels[0]);
  }
  EXPECT_NEAR(sum / 400, 0.4, 0.01);
  EXPECT_NEAR(least, 0.32, 0.005);
  EXPECT_NEAR(most, 0.48, 0.005);

  options.brightness = 0;
  options.contrast = 0.5;
  Image image = Grey(4);
  for (int i = 0; i < 16; ++i) image.u8[i] = i % 2 ? 153 : 51;  // .6 and .2
  for (int draw = 0; draw < 50; ++draw) {
    Random random(6, Purpose::kAugment, draw);
    Augment(image, {}, options, random, pixels);
    EXPECT_NEAR(pixels[0] + pixels[1], 0.8, 1e-5);  // the mean stays
    EXPECT_GE(pixels[1] - pixels[0], 0.2 - 1e-5);
    EXPECT_LE(pixels[1] - pixels[0], 0.6 + 1e-5);
  }
  options.brightness = 1;
  options.contrast = 1;
  for (int draw = 0; draw < 50; ++draw) {
    Random random(7, Purpose::kAugment, draw);
    Augment(image, {}, options, random, pixels);
    for (const float value : pixels) EXPECT_TRUE(value >= 0 && value <= 1) << value;
  }
}

TEST(Augment, FollowsItsStreamAlone) {
  Image image = Grey(32);
  for (std::size_t i = 0; i < image.u8.size(); ++i) image.u8[i] = static_cast<std::uint8_t>(i * 37);
  RegionBoxes boxes;
  boxes.box[0] = {0.5f, 0.5f, 0.4f, 0.3f};
  boxes.valid[0] = 1;
  const PipelineOptions options = Geometric(32);
  PipelineOptions bright = options;
  bright.brightness = 0.2;
  std::vector<float> a(1024), b(1024), c(1024);
  Random first(1, Purpose::kAugment, 2, 3), second = first, third = first;
  const RegionBoxes box_a = Augment(image, boxes, options, first, a);
  const RegionBoxes box_b = Augment(image, boxes, options, second, b);
  const RegionBoxes box_c = Augment(image, boxes, bright, third, c);
  EXPECT_EQ(a, b);
  EXPECT_EQ(box_a.box[0].cx, box_b.box[0].cx);
  EXPECT_NE(a, c);
  EXPECT_EQ(box_a.box[0].cx, box_c.box[0].cx);  // the geometry does not depend on brightness
  EXPECT_EQ(first.Next64(), third.Next64());
}

}  // namespace
}  // namespace vesalius::data
