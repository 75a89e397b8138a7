// BERT WordPiece, uncased (model card rules: clean, CJK spacing, lower case, NFD without marks,
// punctuation split, greedy longest match). Agrees with Hugging Face's BertTokenizer for any
// vocab.txt: [PAD], [UNK], [CLS], [SEP] and [MASK] written in a text, in just this case, stand for
// themselves. Immutable after construction, thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vesalius::data {

class Tokenizer {
 public:
  // `pieces[id]` is the token of id. [PAD], [UNK], [CLS] and [SEP] must be there:
  // Error(kInvalidData).
  explicit Tokenizer(std::vector<std::string> pieces);
  // Reads vocab.txt: one token a line. Errors: kInputMissing, kInvalidData.
  static Tokenizer FromFile(const std::string& path);

  // Ids without special tokens.
  std::vector<std::int64_t> Encode(std::string_view text) const;
  // [CLS] text [SEP], cut to `max_length` tokens in all when it is > 0 (then >= 2).
  std::vector<std::int64_t> EncodeWithSpecials(std::string_view text, int max_length = 0) const;
  // [CLS] ids [SEP], cut likewise.
  std::vector<std::int64_t> WithSpecials(std::vector<std::int64_t> ids, int max_length) const;
  // [CLS] a [SEP] b [SEP]; the longest is cut first, `b` when both are equal (max_length >= 3).
  std::vector<std::int64_t> EncodePair(std::string_view a, std::string_view b,
                                       int max_length = 0) const;

  const std::vector<std::string>& pieces() const { return pieces_; }
  std::int64_t pad() const { return pad_; }

 private:
  // Appends the pieces of one basic token.
  void EncodeWord(const std::string& word, std::vector<std::int64_t>& out) const;

  std::vector<std::string> pieces_;
  std::unordered_map<std::string, std::int64_t> ids_;
  std::int64_t pad_ = 0, unk_ = 0, cls_ = 0, sep_ = 0;
};

// A WordPiece vocabulary learnt from texts, at most `size` entries (>= 6, else Error(kConfig)):
// [PAD] [UNK] [CLS] [SEP] [MASK], the characters seen (plain and continued, the most frequent when
// they do not all fit), then merged pieces. The most frequent pair of neighbouring pieces is merged
// (as in byte-pair encoding and Hugging Face's trainer) as long as it occurs twice; a merged piece
// in which no word is left is dropped again and makes room, so a small set's words become
// whole-word pieces. Deterministic: ties go to the pair that sorts first.
std::vector<std::string> LearnVocabulary(const std::vector<std::string>& texts, std::size_t size);

}  // namespace vesalius::data
