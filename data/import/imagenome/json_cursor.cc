#include "data/import/imagenome/json_cursor.h"

#include <charconv>
#include <limits>

#include "base/error.h"

namespace vesalius::data {
namespace {

void AppendUtf8(unsigned code, std::string* out) {
  const auto put = [&](unsigned byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

bool ParseNumber(std::string_view word, double* value) {
  if (word.starts_with("-.") || word.starts_with('.') || word.starts_with('+')) return false;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *value);
  return end == word.data() + word.size() &&
         (error == std::errc() || error == std::errc::result_out_of_range);
}

bool IsLiteral(std::string_view word) {
  return word == "true" || word == "false" || word == "null" || word == "NaN" ||
         word == "Infinity" || word == "-Infinity";
}

}  // namespace

void JsonCursor::Refuse(const char* what) const {
  Fail(ExitCode::kInvalidData, "not valid JSON: ", what, " at byte ", at_);
}

void JsonCursor::Space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
}

char JsonCursor::Peek() {
  Space();
  if (at_ >= text_.size()) Refuse("it ends too early");
  return text_[at_];
}

void JsonCursor::Open(char bracket) {
  if (Peek() != bracket) Refuse(bracket == '{' ? "no object" : "no array");
  if (++depth_ > kMostDepth) Refuse("nested too deep");
  ++at_;
}

bool JsonCursor::More(char bracket, bool* first) {
  const char next = Peek();
  if (next == bracket) {
    ++at_;
    --depth_;
    return false;
  }
  if (!*first) {
    if (next != ',') Refuse("no comma");
    ++at_;
  }
  *first = false;
  return true;
}

std::string JsonCursor::Key() {
  std::string key = String();
  if (Peek() != ':') Refuse("no colon");
  ++at_;
  return key;
}

std::string JsonCursor::String() {
  if (Peek() != '"') Refuse("no string");
  ++at_;
  std::string out;
  for (;;) {
    const std::size_t from = at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<unsigned char>(text_[at_]) >= 0x20)
      ++at_;
    out.append(text_, from, at_ - from);
    if (at_ >= text_.size()) Refuse("a string does not end");
    const char c = text_[at_++];
    if (c == '"') return out;
    if (c != '\\') Refuse("a control character in a string");
    Escape(&out);
  }
}

unsigned JsonCursor::Hex4() {
  unsigned value = 0;
  const char* from = text_.data() + at_;
  if (text_.size() - at_ < 4) Refuse("a bad escape");
  const auto [end, error] = std::from_chars(from, from + 4, value, 16);
  if (end != from + 4 || error != std::errc()) Refuse("a bad escape");
  at_ += 4;
  return value;
}

// What follows a backslash. Half a surrogate pair becomes U+FFFD.
void JsonCursor::Escape(std::string* out) {
  constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  if (at_ >= text_.size()) Refuse("a string does not end");
  const char c = text_[at_++];
  if (c != 'u') {
    const std::size_t name = kNames.find(c);
    if (name == std::string_view::npos) Refuse("a bad escape");
    out->push_back(kValues[name]);
    return;
  }
  unsigned code = Hex4();
  if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
    const std::size_t back = at_;
    at_ += 2;
    const unsigned low = Hex4();
    if (low >= 0xdc00 && low < 0xe000)
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    else
      at_ = back;
  }
  AppendUtf8(code >= 0xd800 && code < 0xe000 ? 0xfffd : code, out);
}

std::string_view JsonCursor::Word() {
  Space();
  const std::size_t from = at_;
  while (at_ < text_.size() &&
         std::string_view(",]} \t\r\n:\"[{").find(text_[at_]) == std::string_view::npos)
    ++at_;
  const std::string_view word = text_.substr(from, at_ - from);
  double value = 0;
  if (!IsLiteral(word) && !ParseNumber(word, &value)) Refuse("no value");
  return word;
}

std::string JsonCursor::Scalar() {
  if (IsString()) return String();
  const std::string_view word = Word();
  return word == "null" ? "" : std::string(word);
}

double JsonCursor::Number() {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const std::string word = Scalar();
  if (word == "Infinity") return std::numeric_limits<double>::infinity();
  if (word == "-Infinity") return -std::numeric_limits<double>::infinity();
  double value = kNone;
  return ParseNumber(word, &value) ? value : kNone;
}

void JsonCursor::SkipString() {
  ++at_;
  while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
  if (at_ >= text_.size()) Refuse("a string does not end");
  ++at_;
}

void JsonCursor::Skip() {
  switch (Peek()) {
    case '"':
      return SkipString();
    case '[':
      return Array([this] { Skip(); });
    case '{':
      return Object([this](const std::string&) { Skip(); });
    default:
      Word();
  }
}

void JsonCursor::End() {
  Space();
  if (at_ < text_.size()) Refuse("something behind its end");
}

}  // namespace vesalius::data
