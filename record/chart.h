// Pieces of a report as inline SVG that scale with the page: line charts, stacked bars, a time
// line. Everything that comes from outside is escaped.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace vesalius::record {

// For text and attribute values of HTML; control characters become spaces.
std::string Escape(const std::string& text);

// A figure for people, e.g. "0.0123", "12,400" or "3.1e-07".
std::string Figure(double value);
// "2 h 04 min", "3 min 20 s", "0.8 s".
std::string Duration(double seconds);

using Points = std::vector<std::pair<double, double>>;  // x ascending

// A line chart; values that are not finite are gaps. `marks`: x of vertical lines. Long series are
// thinned so that no peak is lost.
std::string LineChart(const std::string& title, const Points& points,
                      const std::vector<double>& marks = {});

struct Slice {
  std::string name;
  double value = 0;
  int colour = 0;  // index of Colour()
};
const char* Colour(int index);  // "#rrggbb", any index >= 0

// One bar; slices below a thousandth of the sum are left out.
std::string StackedBar(const std::vector<Slice>& slices);

struct Band {
  double begin = 0, end = 0;
  int row = 0, colour = 0;
  std::string title;
};
struct Mark {
  double t = 0;
  std::string title;
};
// Bands in rows under a common axis of seconds from `begin` to `end`, marks across all rows.
std::string TimeLine(double begin, double end, const std::vector<std::string>& rows,
                     const std::vector<Band>& bands, const std::vector<Mark>& marks);

}  // namespace vesalius::record
