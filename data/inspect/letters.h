// Letters and rectangles on a canvas: all that sheets and charts are drawn with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/images/image_codec.h"

namespace vesalius::data {

inline constexpr int kLetterWidth = 6, kLetterHeight = 13;  // pixels

// The part of the rectangle that lies on the canvas.
void FillRect(Canvas& canvas, int x, int y, int width, int height, std::uint32_t rgb);

// ASCII text with its top left corner at x, y; other bytes appear as '?'.
void DrawText(Canvas& canvas, int x, int y, std::string_view text, std::uint32_t rgb);

// UTF-8 text as it can be drawn: '?' for what is not ASCII; in the middle ".." where it has more
// than `most` (>= 4) characters.
std::string Printable(std::string_view text, std::size_t most);

}  // namespace vesalius::data
