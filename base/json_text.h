// JSON written by hand, for lines of every step: no tree is built and no locale asked. Everything
// else uses nlohmann::json.
#pragma once

#include <string>
#include <string_view>

namespace vesalius {

// A string with its quotes; what is neither ASCII nor printable becomes '?', so that a byte that is
// not UTF-8 leaves the line readable.
void AppendJsonText(std::string* out, std::string_view text);

// The shortest digits that read back as the same number, whole numbers without a fraction or an
// exponent. `value` is finite: JSON knows no other.
void AppendJsonNumber(std::string* out, double value);

}  // namespace vesalius
