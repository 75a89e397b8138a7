#include "data/phantom/phantom_anatomy.h"

#include <algorithm>
#include <cmath>

#include "data/phantom/phantom_words.h"

namespace vesalius::data::phantom {
namespace {

Box FromCorners(double x0, double y0, double x1, double y1) {
  if (x0 > x1) std::swap(x0, x1);
  return {static_cast<float>((x0 + x1) / 2), static_cast<float>((y0 + y1) / 2),
          static_cast<float>(x1 - x0), static_cast<float>(y1 - y0)};
}

struct Thorax {  // what both sides and the middle share
  double top, bottom, middle;
  double half_width;  // of the mediastinum beside the lungs
};

// One side; `sign` is -1 for the patient's right (image left), +1 for the left.
void LayOutSide(Layout& out, const Thorax& thorax, int sign, Random& random) {
  const auto n = [&](double deviation) { return Jitter(random, deviation); };
  const int side = sign < 0 ? 0 : static_cast<int>(kLeft);
  const double outer = thorax.middle + sign * (.395 + n(.025));
  const double inner = thorax.middle + sign * (thorax.half_width + (sign > 0 ? .03 : .01));
  const double top = thorax.top + n(.010);
  const double bottom = thorax.bottom + n(.015) + (sign > 0 ? .02 : 0);
  const double x0 = std::min(outer, inner), x1 = std::max(outer, inner);
  const double width = x1 - x0, height = bottom - top;
  const double cut1 = top + height * (.37 + n(.02)), cut2 = top + height * (.65 + n(.02));
  out[kLung + side] = FromCorners(x0, top, x1, bottom);
  out[kApex + side] =
      FromCorners(x0 + .12 * width, top, x1 - .10 * width, top + height * (.20 + n(.012)));
  out[kUpperZone + side] = FromCorners(x0 + .04 * width, top + .06 * height, x1, cut1);
  out[kMidZone + side] = FromCorners(x0, cut1, x1, cut2);
  out[kLowerZone + side] = FromCorners(x0, cut2, x1, bottom);

  const double hilum_x = inner + sign * (.045 + n(.008));
  const double hilum_y = top + height * (.50 + n(.02));
  const double k = 1 + n(.08);
  out[kHilum + side] =
      FromCorners(hilum_x - .06 * k, hilum_y - .10 * k, hilum_x + .06 * k, hilum_y + .10 * k);

  out[kAngle + side] =
      FromCorners(outer, bottom - .17 * height, outer - sign * .30 * width, bottom + .01);
  const double dome = .10 + n(.010);
  out[kDiaphragm + side] = FromCorners(x0, bottom - dome * .75, x1, bottom + dome * .45);
  const double y = thorax.top + .045 + n(.012);
  out[sign < 0 ? kRightClavicle : kLeftClavicle] = FromCorners(
      thorax.middle + sign * .035, y - .05, thorax.middle + sign * (.36 + n(.02)), y + .05);
}

void LayOutMiddle(Layout& out, const Thorax& thorax, Random& random) {
  const auto n = [&](double deviation) { return Jitter(random, deviation); };
  const double mid = thorax.middle, half = thorax.half_width;
  const double tx = mid + n(.010), ty = .37 + n(.02);
  out[kTrachea] = FromCorners(tx - .035, .03, tx + .035, ty);
  out[kCarina] = FromCorners(tx - .07, ty - .035, tx + .07, ty + .05);
  out[kSpine] = FromCorners(mid - .06, .02, mid + .06, .96);
  const double arch = .07 * (1 + n(.10));
  out[kAorticArch] =
      FromCorners(mid + .07 - arch, ty - .04 - arch, mid + .07 + arch, ty - .04 + arch);
  out[kMediastinum] = FromCorners(mid - half - .06, thorax.top, mid + half + .10, thorax.bottom);
  out[kUpperMediastinum] =
      FromCorners(mid - half - .035, thorax.top - .01, mid + half + .055, ty + .04);
  const double sx = mid - half - .005;
  out[kSvc] = FromCorners(sx - .035, ty - .08, sx + .035, ty + .13);
  const double k = 1 + n(.09), hx = mid + .05 + n(.012), base = thorax.bottom + .005;
  out[kHeart] = FromCorners(hx - .20 * k, base - .33 * k, hx + .20 * k, base);
  const double rx = hx - .20 * k;
  out[kRightAtrium] = FromCorners(rx, base - .27 * k, rx + .13, base - .05);
  const double jy = ty + .145;
  out[kCavoatrial] = FromCorners(sx - .045, jy - .045, sx + .055, jy + .045);
  out[kAbdomen] = FromCorners(.06, thorax.bottom + .01, .94, .995);
}

}  // namespace

double Jitter(Random& random, double deviation) {
  return std::clamp(random.Normal(), -2.0, 2.0) * deviation;
}

Patient DrawPatient(Random& random) {
  Patient out;
  out.scale = .94 + Jitter(random, .06);
  out.angle = Jitter(random, .045);
  out.dx = Jitter(random, .035);
  out.dy = Jitter(random, .03);
  Thorax thorax;
  thorax.top = .11 + Jitter(random, .025);
  thorax.bottom = .76 + Jitter(random, .035);
  thorax.middle = .5 + Jitter(random, .012);
  thorax.half_width = .055 + Jitter(random, .010);
  LayOutSide(out.layout, thorax, -1, random);
  LayOutSide(out.layout, thorax, 1, random);
  LayOutMiddle(out.layout, thorax, random);
  return out;
}

Pose DrawPose(const Patient& patient, Random& random) {
  Pose out;
  const double scale = patient.scale * (1 + Jitter(random, .02));
  out.sx = scale * (1 + Jitter(random, .015));
  out.sy = scale * (1 + Jitter(random, .015));
  out.angle = patient.angle + Jitter(random, .025);
  out.dx = patient.dx + Jitter(random, .02);
  out.dy = patient.dy + Jitter(random, .02);
  return out;
}

void Enlarge(Layout& layout, int region) {
  Box& box = layout[region];
  if (region != kHeart) {
    box.w *= 1.45f;
    box.h *= 1.45f;
    return;
  }
  const float base = box.cy + box.h / 2;
  box.w *= 1.32f;
  box.h *= 1.18f;
  box.cy = base - box.h / 2;
  layout[kRightAtrium].cx = box.cx - box.w / 2 + layout[kRightAtrium].w / 2;
}

Box ToImage(const Box& box, const Pose& pose) {
  const double c = std::cos(pose.angle), s = std::sin(pose.angle);
  const double x = (box.cx - .5) * pose.sx, y = (box.cy - .5) * pose.sy;
  const double w = box.w * pose.sx, h = box.h * pose.sy;
  return {static_cast<float>(.5 + pose.dx + c * x - s * y),
          static_cast<float>(.5 + pose.dy + s * x + c * y),
          static_cast<float>(std::hypot(c * w, s * h)),
          static_cast<float>(std::hypot(s * w, c * h))};
}

bool ClipToFrame(Box& box) {
  const double area = static_cast<double>(box.w) * box.h;
  const auto inside = [](double x) { return std::clamp(x, 0.0, 1.0); };
  box = FromCorners(inside(box.cx - box.w / 2), inside(box.cy - box.h / 2),
                    inside(box.cx + box.w / 2), inside(box.cy + box.h / 2));
  return static_cast<double>(box.w) * box.h >= .5 * area;
}

double Overlap(const Box& a, const Box& b) {
  const double w =
      std::min(a.cx + a.w / 2, b.cx + b.w / 2) - std::max(a.cx - a.w / 2, b.cx - b.w / 2);
  const double h =
      std::min(a.cy + a.h / 2, b.cy + b.h / 2) - std::max(a.cy - a.h / 2, b.cy - b.h / 2);
  if (w <= 0 || h <= 0) return 0;
  return std::min(1.0, w * h / std::min(a.w * a.h, b.w * b.h));
}

}  // namespace vesalius::data::phantom
