// LearnVocabulary: byte-pair merges over the distinct words of a corpus, kept up to date word by
// word, so that the time goes with the number of distinct words and not with the number of
// sentences.
#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <utility>

#include "base/error.h"
#include "data/text/basic_tokens.h"
#include "data/text/tokenizer.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kSpecialCount = 5;
constexpr std::int64_t kLeastPairs = 2;  // a pair seen once teaches nothing

struct Word {
  std::vector<int> pieces;
  std::int64_t count = 0;
};

using Pair = std::pair<int, int>;

class Learner {
 public:
  explicit Learner(const std::map<std::string, std::int64_t>& counts, std::size_t size)
      : size_(size) {
    ChooseAlphabet(counts);
    for (const auto& [word, count] : counts) AddWord(word, count);
    for (const auto& [pair, count] : pair_counts_) Offer(pair);
  }

  void Merge() {
    while (alphabet_ + live_ + kSpecialCount < size_ && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      if (pair_counts_[best.pair] == best.count) MergePair(best.pair);
    }
  }

  std::vector<std::string> Pieces() const {
    std::vector<std::string> out = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (std::size_t id = 0; id < names_.size(); ++id) {
      if (id < alphabet_ || uses_[id] > 0) out.push_back(names_[id]);
    }
    return out;
  }

 private:
  struct Candidate {
    std::int64_t count;
    std::string left, right;
    Pair pair;
    bool operator<(const Candidate& other) const {  // the queue's top is the greatest
      if (count != other.count) return count < other.count;
      return std::tie(left, right) > std::tie(other.left, other.right);
    }
  };

  int IdOf(const std::string& name) {
    const auto [at, fresh] = ids_.try_emplace(name, static_cast<int>(names_.size()));
    if (fresh) {
      names_.push_back(name);
      uses_.push_back(0);
    }
    return at->second;
  }

  // A character that only ever stands alone (punctuation, ideographs) needs no continued form.
  void ChooseAlphabet(const std::map<std::string, std::int64_t>& counts) {
    std::map<std::string, std::int64_t> frequency;
    for (const auto& [word, count] : counts) {
      const auto characters = Characters(word);
      for (const std::string_view c : characters) {
        frequency[std::string(c)] += count;
        if (characters.size() > 1) frequency["##" + std::string(c)] += count;
      }
    }
    std::vector<std::pair<std::int64_t, std::string>> order;
    for (const auto& [form, count] : frequency) order.emplace_back(-count, form);
    std::sort(order.begin(), order.end());
    order.resize(std::min(order.size(), size_ - kSpecialCount));
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
      const bool a_continued = a.second.starts_with("##"), b_continued = b.second.starts_with("##");
      return std::tie(a_continued, a.second) < std::tie(b_continued, b.second);
    });
    for (const auto& [count, form] : order) IdOf(form);
    alphabet_ = names_.size();
  }

  // Words with a character outside the alphabet will be [UNK] and take no part.
  void AddWord(const std::string& text, std::int64_t count) {
    Word word;
    word.count = count;
    for (const std::string_view c : Characters(text)) {
      const auto at = ids_.find((word.pieces.empty() ? "" : "##") + std::string(c));
      if (at == ids_.end()) return;
      word.pieces.push_back(at->second);
    }
    for (const int piece : word.pieces) ++uses_[piece];
    words_.push_back(std::move(word));
    CountPairs(words_.size() - 1, 1, nullptr);
  }

  // Adds (or takes away) the pairs of one word; `changed` collects them.
  void CountPairs(std::size_t index, int sign, std::set<Pair>* changed) {
    const Word& word = words_[index];
    for (std::size_t i = 0; i + 1 < word.pieces.size(); ++i) {
      const Pair pair = {word.pieces[i], word.pieces[i + 1]};
      pair_counts_[pair] += sign * word.count;
      if (sign > 0) pair_words_[pair].insert(index);
      if (changed != nullptr) changed->insert(pair);
    }
  }

  void Offer(const Pair& pair) {
    const std::int64_t count = pair_counts_[pair];
    if (count >= kLeastPairs) queue_.push({count, names_[pair.first], names_[pair.second], pair});
  }

  void Use(int piece, int change) {
    const bool merged = static_cast<std::size_t>(piece) >= alphabet_;
    if (merged && uses_[piece] > 0) --live_;
    uses_[piece] += change;
    if (merged && uses_[piece] > 0) ++live_;
  }

  void MergePair(const Pair& pair) {
    const int merged = IdOf(names_[pair.first] + names_[pair.second].substr(2));
    std::set<Pair> changed;
    const std::set<std::size_t> where = std::move(pair_words_[pair]);
    pair_words_.erase(pair);
    for (const std::size_t index : where) {
      CountPairs(index, -1, &changed);
      std::vector<int>& pieces = words_[index].pieces;
      std::size_t kept = 0;
      for (std::size_t i = 0; i < pieces.size(); ++i) {
        const bool here =
            i + 1 < pieces.size() && pieces[i] == pair.first && pieces[i + 1] == pair.second;
        if (here) {
          Use(pair.first, -1);
          Use(pair.second, -1);
          Use(merged, 1);
          ++i;
        }
        pieces[kept++] = here ? merged : pieces[i];
      }
      pieces.resize(kept);
      CountPairs(index, 1, &changed);
    }
    for (const Pair& other : changed) Offer(other);
  }

  std::size_t size_, alphabet_ = 0;
  std::size_t live_ = 0;  // merged pieces that some word is made of
  std::vector<std::string> names_;
  std::vector<std::int64_t> uses_;
  std::map<std::string, int> ids_;
  std::vector<Word> words_;
  std::map<Pair, std::int64_t> pair_counts_;
  std::map<Pair, std::set<std::size_t>> pair_words_;  // may name words that lost the pair since
  std::priority_queue<Candidate> queue_;              // counts may be out of date
};

}  // namespace

std::vector<std::string> LearnVocabulary(const std::vector<std::string>& texts, std::size_t size) {
  Require(size > kSpecialCount, ExitCode::kConfig, "a vocabulary of ", size,
          " tokens has no room beside its ", kSpecialCount, " special tokens; ask for more");
  std::map<std::string, std::int64_t> counts;
  for (const std::string& text : texts) {
    for (std::string& word : BasicTokens(text)) ++counts[std::move(word)];
  }
  Learner learner(counts, size);
  learner.Merge();
  return learner.Pieces();
}

}  // namespace vesalius::data
