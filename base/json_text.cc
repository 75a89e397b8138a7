#include "base/json_text.h"

#include <charconv>
#include <cmath>
#include <cstdint>

namespace vesalius {

void AppendJsonText(std::string* out, std::string_view text) {
  *out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (c == '\n') {
      *out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7F) {
      *out += '?';
    } else {
      *out += c;
    }
  }
  *out += '"';
}

void AppendJsonNumber(std::string* out, double value) {
  char text[32];
  if (std::nearbyint(value) == value && std::abs(value) < 9e15) {
    *out += std::to_string(static_cast<std::int64_t>(value));
    return;
  }
  out->append(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

}  // namespace vesalius
