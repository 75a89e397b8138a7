// Small text helpers that every room needs (g++ 12 has no std::format).
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace vesalius {

// Streams all parts into one string.
template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator);

// Splits at every `separator`; an empty text gives one empty field.
std::vector<std::string> Split(std::string_view text, char separator);

// Without leading and trailing ASCII white space.
std::string_view Trim(std::string_view text);

// ASCII lower case.
std::string Lower(std::string_view text);

// Every occurrence of `from` replaced by `to`.
std::string Replace(std::string text, std::string_view from, std::string_view to);

// The candidate with the least edit distance to `word`, or "" when none is closer than half its
// length: for "did you mean ...?" in error messages.
std::string Nearest(std::string_view word, const std::vector<std::string>& candidates);

// " (did you mean 'x'?)" or "".
std::string DidYouMean(std::string_view word, const std::vector<std::string>& candidates);

// `value` with `digits` decimals.
std::string Fixed(double value, int digits);

// `bytes` with a binary unit, e.g. "3.2 MiB".
std::string HumanBytes(std::uint64_t bytes);

}  // namespace vesalius
