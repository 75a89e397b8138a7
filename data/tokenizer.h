// BERT WordPiece, uncased (model card rules: clean, CJK spacing, lower case, NFD without marks,
// punctuation split, greedy longest match). Agrees with Hugging Face's BertTokenizer for any vocab.txt.
// Immutable after construction, thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vesalius::data {

class Tokenizer {
 public:
  // `pieces[id]` is the token of id. [PAD], [UNK], [CLS] and [SEP] must be there: Error(kInvalidData).
  explicit Tokenizer(std::vector<std::string> pieces);
  // Reads vocab.txt: one token a line. Errors: kInputMissing, kInvalidData.
  static Tokenizer FromFile(const std::string& path);

  // Ids without special tokens.
  std::vector<std::int64_t> Encode(std::string_view text) const;
  // [CLS] text [SEP], cut to `max_length` tokens when it is > 0.
  std::vector<std::int64_t> EncodeWithSpecials(std::string_view text, int max_length = 0) const;
  // [CLS] a [SEP] b [SEP]; the longest is cut first.
  std::vector<std::int64_t> EncodePair(std::string_view a, std::string_view b,
                                       int max_length = 0) const;

  const std::vector<std::string>& pieces() const { return pieces_; }
  std::int64_t pad() const { return pad_; }

 private:
  std::vector<std::string> pieces_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::int64_t pad_ = 0, unk_ = 0, cls_ = 0, sep_ = 0;
};

// A WordPiece vocabulary learnt from texts: [PAD] [UNK] [CLS] [SEP] [MASK], the characters seen (plain
// and continued), then merged pieces by the WordPiece score, at most `size` entries. Deterministic.
std::vector<std::string> LearnVocabulary(const std::vector<std::string>& texts, std::size_t size);

}  // namespace vesalius::data
