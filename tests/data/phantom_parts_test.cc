// The phantom's parts without a data set: which findings a study gets, and that they show.
#include <gtest/gtest.h>

#include <cmath>

#include "data/phantom/phantom_anatomy.h"
#include "data/phantom/phantom_render.h"
#include "data/phantom/phantom_report.h"
#include "data/phantom/phantom_words.h"

namespace vesalius::data {
namespace {

TEST(Phantom, PaintedFindingsPerStudy) {
  Random random(3, Purpose::kTest);
  double painted = 0, studies = 0;
  for (int i = 0; i < 3000; ++i) {
    const phantom::Patient patient = phantom::DrawPatient(random);
    const auto findings = phantom::DrawFindings(patient.layout, random);
    painted += static_cast<double>(findings.size());
    ++studies;
    for (const auto& a : findings) {
      for (const auto& b : findings) {
        if (a.region == b.region) continue;
        EXPECT_LE(phantom::Overlap(patient.layout[a.region], patient.layout[b.region]), .3);
      }
    }
  }
  EXPECT_NEAR(painted / studies, 4.1, .25);
}

// A painted finding changes the pixels of its box and hardly others.
TEST(Phantom, FindingsAreVisible) {
  Random random(9, Purpose::kTest);
  const phantom::Patient patient = phantom::DrawPatient(random);
  const phantom::Pose pose = phantom::DrawPose(patient, random);
  const phantom::Film plain = phantom::RenderChest(patient.layout, pose, 64);
  for (int r = 0; r < kRegions; ++r) {
    for (const int f : phantom::Paintable()[r]) {
      phantom::Film film = plain;
      const Box box = phantom::ToImage(patient.layout[r], pose);
      phantom::PaintFinding(film, box, f, random);
      double changed = 0, outside = 0;
      for (int i = 0; i < 64; ++i) {
        for (int j = 0; j < 64; ++j) {
          const double d = std::abs(film.pixels[i * 64 + j] - plain.pixels[i * 64 + j]);
          changed += d;
          const bool near = std::abs((j + .5) / 64 - box.cx) < box.w * .55 + .02 &&
                            std::abs((i + .5) / 64 - box.cy) < box.h * 1.3 + .02;
          if (!near) outside += d;
        }
      }
      EXPECT_GT(changed, 1.0) << kRegionNames[r] << ", finding " << f;
      EXPECT_EQ(outside, 0) << kRegionNames[r] << ", finding " << f;
    }
  }
}

// The boxes that rotation and clipping make, against a hand-made case.
TEST(Phantom, BoxesFollowThePose) {
  const Box box = {.75f, .5f, .2f, .1f};
  phantom::Pose quarter;
  quarter.angle = std::acos(0.0);
  Box turned = phantom::ToImage(box, quarter);  // a quarter turn: right becomes below
  EXPECT_NEAR(turned.cx, .5, 1e-6);
  EXPECT_NEAR(turned.cy, .75, 1e-6);
  EXPECT_NEAR(turned.w, .1, 1e-6);
  EXPECT_NEAR(turned.h, .2, 1e-6);
  phantom::Pose shifted;
  shifted.sx = 2;
  shifted.dy = .5;
  Box moved = phantom::ToImage(box, shifted);  // x: .5 + .25 * 2, y: at the lower edge
  EXPECT_NEAR(moved.cx, 1, 1e-6);
  EXPECT_NEAR(moved.cy, 1, 1e-6);
  EXPECT_NEAR(moved.w, .4, 1e-6);
  EXPECT_FALSE(phantom::ClipToFrame(moved));  // a quarter is visible
  EXPECT_NEAR(moved.cx, .9, 1e-6);
  EXPECT_NEAR(moved.h, .05, 1e-6);
  Box half = {.01f, .5f, .2f, .2f};
  EXPECT_TRUE(phantom::ClipToFrame(half));
  EXPECT_NEAR(half.w, .11, 1e-6);
  EXPECT_NEAR(phantom::Overlap({.5f, .5f, .4f, .4f}, {.6f, .5f, .2f, .2f}), 1, 1e-6);
  EXPECT_NEAR(phantom::Overlap({.5f, .5f, .4f, .4f}, {.7f, .5f, .2f, .2f}), .5, 1e-5);
  EXPECT_EQ(phantom::Overlap({.2f, .5f, .2f, .2f}, {.7f, .5f, .2f, .2f}), 0);
}

}  // namespace
}  // namespace vesalius::data
