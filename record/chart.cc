#include "record/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/strings.h"

namespace vesalius::record {
namespace {

constexpr double kWidth = 600, kHeight = 220, kLeft = 58, kRight = 10, kTop = 12, kBottom = 26;
constexpr std::size_t kBuckets = 300;  // of a thinned series, two points each

std::string Coordinate(double value) { return Fixed(value, 1); }

struct Scale {
  double low, high, from, to;
  double operator()(double value) const {
    return from + (high > low ? (value - low) / (high - low) : 0.5) * (to - from);
  }
};

// The lowest and the highest point of every bucket.
Points Thinned(const Points& points) {
  if (points.size() <= 2 * kBuckets) return points;
  Points kept;
  const auto lower = [](const auto& a, const auto& b) { return a.second < b.second; };
  for (std::size_t b = 0; b < kBuckets; ++b) {
    const auto at = [&](std::size_t bucket) {
      return points.begin() + static_cast<std::ptrdiff_t>(bucket * points.size() / kBuckets);
    };
    auto [low, high] = std::minmax_element(at(b), at(b + 1), lower);
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

std::string Open(double height) {
  return StrCat("<svg viewBox=\"0 0 ", kWidth, " ", height, "\" role=\"img\">");
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return StrCat("<text x=\"", Coordinate(x), "\" y=\"", Coordinate(y), "\" text-anchor=\"", anchor,
                "\">", Escape(text), "</text>");
}

std::string Line(double x1, double y1, double x2, double y2, const char* kind) {
  return StrCat("<line class=\"", kind, "\" x1=\"", Coordinate(x1), "\" y1=\"", Coordinate(y1),
                "\" x2=\"", Coordinate(x2), "\" y2=\"", Coordinate(y2), "\"/>");
}

std::string Box(double x, double y, double width, double height, int colour,
                const std::string& title) {
  return StrCat("<rect x=\"", Fixed(x, 2), "\" y=\"", Coordinate(y), "\" width=\"",
                Fixed(std::max(width, 0.4), 2), "\" height=\"", Coordinate(height), "\" fill=\"",
                Colour(colour), "\"><title>", Escape(title), "</title></rect>");
}

}  // namespace

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    }
  }
  return out;
}

std::string Figure(double value) {
  char text[40];
  const double size = std::abs(value);
  std::snprintf(text, sizeof(text), size == 0 || (size >= 1e-3 && size < 1e6) ? "%.4g" : "%.2e",
                value);
  if (size >= 1000 && size < 1e6) std::snprintf(text, sizeof(text), "%.0f", value);
  return text;
}

std::string Duration(double seconds) {
  if (seconds < 60) return Fixed(seconds, seconds < 10 ? 1 : 0) + " s";
  const auto whole = std::llround(seconds);
  char text[60];
  if (whole < 3600)
    std::snprintf(text, sizeof(text), "%lld min %02lld s", whole / 60, whole % 60);
  else
    std::snprintf(text, sizeof(text), "%lld h %02lld min", whole / 3600, whole / 60 % 60);
  return text;
}

std::string LineChart(const std::string& title, const Points& points,
                      const std::vector<double>& marks) {
  Points finite;
  for (const auto& point : points)
    if (std::isfinite(point.second)) finite.push_back(point);
  std::string out = StrCat("<figure><figcaption>", Escape(title), "</figcaption>");
  if (finite.empty()) return out + "<p>no values</p></figure>";
  const auto lower = [](const auto& a, const auto& b) { return a.second < b.second; };
  const auto [low, high] = std::minmax_element(finite.begin(), finite.end(), lower);
  const Scale x{finite.front().first, finite.back().first, kLeft, kWidth - kRight};
  const Scale y{low->second, high->second, kHeight - kBottom, kTop};
  out += Open(kHeight);
  for (int i = 0; i <= 2; ++i) {
    const double value = low->second + (high->second - low->second) * i / 2;
    if (i > 0 && high->second == low->second) break;
    out += Line(kLeft, y(value), kWidth - kRight, y(value), "grid");
    out += Text(kLeft - 6, y(value) + 4, "end", Figure(value));
  }
  out += Text(kLeft, kHeight - 8, "start", Figure(x.low));
  out += Text(kWidth - kRight, kHeight - 8, "end", Figure(x.high));
  for (const double mark : marks)
    if (mark >= x.low && mark <= x.high)
      out += Line(x(mark), kTop, x(mark), kHeight - kBottom, "mark");
  // Pieces between gaps.
  std::string piece;
  const auto flush = [&] {
    if (!piece.empty()) out += StrCat("<polyline points=\"", piece, "\"/>");
    piece.clear();
  };
  Points run;
  const auto draw = [&] {
    for (const auto& [px, py] : Thinned(run))
      piece += StrCat(Coordinate(x(px)), ",", Coordinate(y(py)), " ");
    if (run.size() == 1)
      out += StrCat("<circle r=\"2\" cx=\"", Coordinate(x(run[0].first)), "\" cy=\"",
                    Coordinate(y(run[0].second)), "\"/>");
    run.clear();
    flush();
  };
  for (const auto& point : points) {
    if (std::isfinite(point.second))
      run.push_back(point);
    else
      draw();
  }
  draw();
  return out + "</svg></figure>";
}

const char* Colour(int index) {
  static constexpr const char* kColours[] = {"#2e7d32", "#ef6c00", "#6a1b9a", "#1565c0",
                                             "#00838f", "#4527a0", "#c62828", "#ad1457",
                                             "#795548", "#90a4ae", "#cfd8dc"};
  return kColours[static_cast<std::size_t>(index) % std::size(kColours)];
}

std::string StackedBar(const std::vector<Slice>& slices) {
  double sum = 0;
  for (const Slice& slice : slices) sum += slice.value;
  std::string out = Open(28);
  double at = 0;
  for (const Slice& slice : slices) {
    if (sum <= 0 || slice.value < 1e-3 * sum) continue;
    const double width = slice.value / sum * kWidth;
    out += Box(at, 2, width, 24, slice.colour,
               StrCat(slice.name, ": ", Duration(slice.value), ", ",
                      Fixed(100 * slice.value / sum, 1), " %"));
    at += width;
  }
  return out + "</svg>";
}

std::string TimeLine(double begin, double end, const std::vector<std::string>& rows,
                     const std::vector<Band>& bands, const std::vector<Mark>& marks) {
  constexpr double kRow = 22;
  const double bottom = kTop + kRow * static_cast<double>(rows.size());
  const Scale x{begin, end, kLeft, kWidth - kRight};
  std::string out = Open(bottom + kBottom);
  for (std::size_t row = 0; row < rows.size(); ++row)
    out += Text(kLeft - 6, kTop + kRow * static_cast<double>(row) + 15, "end", rows[row]);
  for (const Band& band : bands)
    out += Box(x(band.begin), kTop + kRow * band.row + 3, x(band.end) - x(band.begin), kRow - 6,
               band.colour, band.title);
  for (const Mark& mark : marks) {
    const double at = x(mark.t);
    out += StrCat("<g><title>", Escape(mark.title), "</title>",
                  Line(at, kTop - 4, at, bottom, "fault"), "<circle class=\"fault\" r=\"4\" cx=\"",
                  Coordinate(at), "\" cy=\"", Coordinate(kTop - 5), "\"/></g>");
  }
  out += Text(kLeft, bottom + 18, "start", "0 s");
  out += Text(kWidth - kRight, bottom + 18, "end", Duration(end - begin));
  return out + "</svg>";
}

}  // namespace vesalius::record
