#include "data/text/tokenizer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "data/text/basic_tokens.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kLongestWord = 100;  // characters; longer words are [UNK]
constexpr std::array<const char*, 5> kSpecials = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

// Length of the special token that starts at `at`, or 0.
std::size_t SpecialAt(std::string_view text, std::size_t at) {
  if (text[at] != '[') return 0;
  for (const std::string_view special : kSpecials) {
    if (text.substr(at, special.size()) == special) return special.size();
  }
  return 0;
}

}  // namespace

Tokenizer::Tokenizer(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {
  for (std::size_t id = 0; id < pieces_.size(); ++id) {
    ids_[pieces_[id]] = static_cast<std::int64_t>(id);
  }
  const auto need = [&](const char* token) {
    const auto found = ids_.find(token);
    Require(found != ids_.end(), ExitCode::kInvalidData, "the vocabulary of ", pieces_.size(),
            " tokens lacks ", token, "; a BERT vocab.txt has one token a line, ", token,
            " among them");
    return found->second;
  };
  pad_ = need("[PAD]");
  unk_ = need("[UNK]");
  cls_ = need("[CLS]");
  sep_ = need("[SEP]");
}

Tokenizer Tokenizer::FromFile(const std::string& path) {
  std::vector<std::string> lines = Split(ReadFile(path), '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (std::string& line : lines) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
  }
  try {
    return Tokenizer(std::move(lines));
  } catch (const Error& error) {
    Fail(error.code(), path, ": ", error.what());
  }
}

void Tokenizer::EncodeWord(const std::string& word, std::vector<std::int64_t>& out) const {
  const std::vector<std::string_view> characters = Characters(word);
  if (characters.size() > kLongestWord) {
    out.push_back(unk_);
    return;
  }
  const std::size_t first_piece = out.size();
  std::string piece;
  std::size_t begin = 0;
  while (begin < word.size()) {
    piece.assign(begin == 0 ? "" : "##");
    const std::size_t prefix = piece.size();
    piece.append(word, begin);
    auto last = characters.rbegin();
    auto found = ids_.find(piece);
    while (found == ids_.end() && piece.size() > prefix + last->size()) {
      piece.resize(piece.size() - last->size());
      ++last;
      found = ids_.find(piece);
    }
    if (found == ids_.end()) {
      out.resize(first_piece);
      out.push_back(unk_);
      return;
    }
    out.push_back(found->second);
    begin += piece.size() - prefix;
  }
}

std::vector<std::int64_t> Tokenizer::Encode(std::string_view text) const {
  std::vector<std::int64_t> out;
  const auto encode_plain = [&](std::string_view plain) {
    for (const std::string& word : BasicTokens(plain)) EncodeWord(word, out);
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = SpecialAt(text, at);
    const auto special = length > 0 ? ids_.find(std::string(text.substr(at, length))) : ids_.end();
    if (special == ids_.end()) {
      ++at;
      continue;
    }
    encode_plain(text.substr(begin, at - begin));
    out.push_back(special->second);
    at += length;
    begin = at;
  }
  encode_plain(text.substr(begin));
  return out;
}

std::vector<std::int64_t> Tokenizer::EncodeWithSpecials(std::string_view text,
                                                        int max_length) const {
  return WithSpecials(Encode(text), max_length);
}

std::vector<std::int64_t> Tokenizer::WithSpecials(std::vector<std::int64_t> ids,
                                                  int max_length) const {
  Invariant(max_length <= 0 || max_length >= 2, "a text cannot be cut to ", max_length, " tokens");
  if (max_length > 0) ids.resize(std::min(ids.size(), static_cast<std::size_t>(max_length) - 2));
  ids.insert(ids.begin(), cls_);
  ids.push_back(sep_);
  return ids;
}

std::vector<std::int64_t> Tokenizer::EncodePair(std::string_view a, std::string_view b,
                                                int max_length) const {
  Invariant(max_length <= 0 || max_length >= 3, "a pair cannot be cut to ", max_length, " tokens");
  std::vector<std::int64_t> first = Encode(a);
  std::vector<std::int64_t> second = Encode(b);
  if (max_length > 0) {
    const auto room = static_cast<std::size_t>(max_length) - 3;
    while (first.size() + second.size() > room) {
      (first.size() > second.size() ? first : second).pop_back();
    }
  }
  first.insert(first.begin(), cls_);
  first.push_back(sep_);
  first.insert(first.end(), second.begin(), second.end());
  first.push_back(sep_);
  return first;
}

}  // namespace vesalius::data
