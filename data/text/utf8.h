// Whether texts are what the formats that we write promise of them.
#pragma once

#include <string_view>

namespace vesalius::data {

// Whether it is well-formed UTF-8 (no overlong forms, no surrogates).
bool ValidUtf8(std::string_view text);

}  // namespace vesalius::data
