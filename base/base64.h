// Base64 (RFC 4648, with padding).
#pragma once

#include <string>
#include <string_view>

namespace vesalius {

std::string Base64(std::string_view bytes);

}  // namespace vesalius
