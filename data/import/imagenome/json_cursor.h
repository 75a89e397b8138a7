// Reads JSON from front to back without building a tree: the caller takes what it wants and skips
// the rest, so that memory is bounded by what is taken and a scene graph of 40 kB takes some 0.1
// ms. Accepts Python's NaN, Infinity and -Infinity. Whatever is not JSON is Error(kInvalidData)
// with the byte at which it was seen. Values nest at most kMostDepth deep.
#pragma once

#include <string>
#include <string_view>

namespace vesalius::data {

class JsonCursor {
 public:
  static constexpr int kMostDepth = 32;

  // `text` must outlive the cursor.
  explicit JsonCursor(std::string_view text) : text_(text) {}

  // The next value's first character: { [ " for the containers and strings, else a number's or a
  // literal's.
  char Peek();
  bool IsString() { return Peek() == '"'; }

  // Calls member(key) for each member of the object that comes next; the call must take or skip the
  // member's value.
  template <typename Member>
  void Object(Member member) {
    Open('{');
    for (bool first = true; More('}', &first);) member(Key());
  }

  // Calls element() for each element of the array that comes next; likewise.
  template <typename Element>
  void Array(Element element) {
    Open('[');
    for (bool first = true; More(']', &first);) element();
  }

  std::string String();
  // A string's content, or a number or literal as written; "" for null.
  std::string Scalar();
  // A number; a NaN for null and for strings that are none.
  double Number();
  void Skip();
  // Nothing but white space may follow.
  void End();

 private:
  [[noreturn]] void Refuse(const char* what) const;
  void Space();
  void Open(char bracket);
  bool More(char bracket, bool* first);
  std::string Key();
  std::string_view Word();  // a number or literal as written
  void SkipString();
  void Escape(std::string* out);
  unsigned Hex4();

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace vesalius::data
