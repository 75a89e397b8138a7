// Writes the files of an imagined MIMIC-CXR-JPG and Chest ImaGenome. Shares no code, table or name
// with the program that it tests, so that an error there cannot repeat here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace imagenome_fixture {

// A fixed sequence of numbers (xorshift), the same on every machine.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 2654435769u + 88172645463325252u) {}
  int Below(int n) { return static_cast<int>(Next() % static_cast<std::uint64_t>(n)); }
  bool OneIn(int n) { return Below(n) == 0; }
  template <typename T>
  const T& Of(const std::vector<T>& choices) {
    return choices[static_cast<std::size_t>(Below(static_cast<int>(choices.size())))];
  }
  std::string Hex(int digits);

 private:
  std::uint64_t Next();
  std::uint64_t state_;
};

void WriteText(const std::string& path, const std::string& text);
void WriteGzip(const std::string& path, const std::string& text);

// Brightness of the pictures, a plane: 40 at the upper left corner, 40 + 120 at the right, 40 + 60
// at the bottom. `x` and `y` are shares of the sides.
double Brightness(double x, double y);
// A JPEG file of that picture; in colour (still grey to the eye) when `colour`.
std::string Picture(int width, int height, bool colour);

}  // namespace imagenome_fixture
