#include "data/text/basic_tokens.h"

#include <utf8proc.h>

#include <cstdint>

#include "base/error.h"

namespace vesalius::data {
namespace {

using CodePoint = utf8proc_int32_t;

bool IsAscii(CodePoint c) { return c < 0x80; }

// Tab, line feed and carriage return are white space to BERT although their category is Cc. The
// line and paragraph separators are not Zs, yet every implementation splits on them later.
bool IsSpace(CodePoint c) {
  if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return true;
  if (IsAscii(c)) return false;
  const utf8proc_category_t category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

// To be asked after IsSpace. Unassigned code points (Cn) stay, as in the Hugging Face tokenizer.
bool IsDropped(CodePoint c) {
  if (IsAscii(c)) return c < 0x20 || c == 0x7f;
  if (c == 0xFFFD) return true;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
      return true;
    default:
      return false;
  }
}

// The blocks that BERT's reference calls Chinese characters.
bool IsIdeograph(CodePoint c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool IsPunctuation(CodePoint c) {
  if (IsAscii(c)) {
    return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
           (c >= 123 && c <= 126);
  }
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

void Append(std::string& out, CodePoint c) {
  if (IsAscii(c)) {
    out.push_back(static_cast<char>(c));
    return;
  }
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t n = utf8proc_encode_char(c, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
}

// Steps 1 and 2: well-formed UTF-8 with plain spaces. A byte that starts no code point is dropped
// alone, as if it had been decoded to U+FFFD.
std::string Clean(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    CodePoint c = *at;
    utf8proc_ssize_t used = 1;
    if (!IsAscii(c)) used = utf8proc_iterate(at, left, &c);
    const bool malformed = used < 1;
    if (malformed) used = 1;
    at += used;
    left -= used;
    if (malformed) continue;
    if (IsSpace(c)) {
      out.push_back(' ');
    } else if (!IsDropped(c)) {
      const bool alone = IsIdeograph(c);
      if (alone) out.push_back(' ');
      Append(out, c);
      if (alone) out.push_back(' ');
    }
  }
  return out;
}

// Step 3. Decomposing comes before lower-casing (as in the Rust implementation): then no lower case
// is longer than one code point.
std::vector<CodePoint> LowerWithoutMarks(const std::string& clean) {
  std::vector<CodePoint> points(clean.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(clean.data());
  const auto size = static_cast<utf8proc_ssize_t>(clean.size());
  const auto decompose = [&] {
    return utf8proc_decompose(bytes, size, points.data(),
                              static_cast<utf8proc_ssize_t>(points.size()), UTF8PROC_DECOMPOSE);
  };
  utf8proc_ssize_t n = decompose();
  if (n > static_cast<utf8proc_ssize_t>(points.size())) {
    points.resize(static_cast<std::size_t>(n));
    n = decompose();
  }
  Invariant(n >= 0, "decomposing cleaned text failed: ", utf8proc_errmsg(n));
  std::size_t kept = 0;
  for (utf8proc_ssize_t i = 0; i < n; ++i) {
    const CodePoint c = points[static_cast<std::size_t>(i)];
    if (!IsAscii(c) && utf8proc_category(c) == UTF8PROC_CATEGORY_MN) continue;
    points[kept++] = utf8proc_tolower(c);
  }
  points.resize(kept);
  return points;
}

}  // namespace

std::vector<std::string> BasicTokens(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (const CodePoint c : LowerWithoutMarks(Clean(text))) {
    if (IsSpace(c)) {
      flush();
    } else if (IsPunctuation(c)) {
      flush();
      Append(word, c);
      flush();
    } else {
      Append(word, c);
    }
  }
  flush();
  return words;
}

std::vector<std::string_view> Characters(std::string_view text) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = begin + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    out.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

}  // namespace vesalius::data
