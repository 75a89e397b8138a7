// data/tokenizer: agreement with the Hugging Face tokenizer's ids, the odd corners of its rules on
// vocabularies of our own, truncation, and what LearnVocabulary promises.
#include "data/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/random.h"
#include "base/strings.h"
#include "tests/util/shared_data.h"
#include "tests/util/temp_dir.h"

namespace vesalius::data {
namespace {

using Ids = std::vector<std::int64_t>;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// Reference vectors of others; the folder is not part of the tree.
class TokenizerParity : public testing::Test {
 protected:
  void SetUp() override {
    if (SharedData("data/tokenizer").empty()) {
      GTEST_SKIP() << "no reference vectors: ../shared/data/tokenizer is absent";
    }
  }
  static const Tokenizer& Bert() {
    static const Tokenizer tokenizer =
        Tokenizer::FromFile(SharedData("data/tokenizer/bert_uncased_vocab.txt"));
    return tokenizer;
  }
};

TEST_F(TokenizerParity, TransformersJsCases) {
  const json cases =
      json::parse(ReadFile(SharedData("data/tokenizer/transformersjs_bert_uncased.json")));
  ASSERT_EQ(cases.size(), 30u);
  for (const json& one : cases) {
    const std::string text = one["text"];
    const Ids ids = one.contains("text_pair")
                        ? Bert().EncodePair(text, one["text_pair"].get<std::string>())
                        : Bert().EncodeWithSpecials(text);
    EXPECT_EQ(ids, one["ids"].get<Ids>()) << one["name"];
  }
}

TEST_F(TokenizerParity, LlamaCppCases) {
  std::vector<std::string> texts;
  std::string rest = ReadFile(SharedData("data/tokenizer/bert-bge.inp"));
  const std::string mark = "\n__ggml_vocab_test__\n";
  for (std::size_t at; (at = rest.find(mark)) != std::string::npos;) {
    texts.push_back(rest.substr(0, at));
    rest = rest.substr(at + mark.size());
  }
  const std::vector<std::string> lines =
      Split(ReadFile(SharedData("data/tokenizer/bert-bge.out")), '\n');
  ASSERT_EQ(texts.size(), 46u);
  ASSERT_GE(lines.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    Ids expected;
    std::istringstream numbers(lines[i]);
    for (std::int64_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(Bert().Encode(texts[i]), expected) << "case " << i << ": " << texts[i];
  }
}

TEST_F(TokenizerParity, ClinicalNotes) {
  const std::string notes = SharedData("data/cxr_pairs/notes_hf_bert_ids.jsonl");
  if (notes.empty()) GTEST_SKIP() << "no reference ids: ../shared/data/cxr_pairs is absent";
  int seen = 0;
  for (const std::string& line : Split(ReadFile(notes), '\n')) {
    if (line.empty()) continue;
    const json one = json::parse(line);
    EXPECT_EQ(Bert().EncodeWithSpecials(one["text"].get<std::string>()), one["ids"].get<Ids>())
        << one["filename"];
    ++seen;
  }
  EXPECT_EQ(seen, 177);
}

// Pieces by name, so that the cases below read as text.
Tokenizer Toy(std::vector<std::string> more) {
  std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  pieces.insert(pieces.end(), more.begin(), more.end());
  return Tokenizer(pieces);
}

std::vector<std::string> Pieces(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> out;
  for (const std::int64_t id : tokenizer.Encode(text)) {
    out.push_back(tokenizer.pieces()[static_cast<std::size_t>(id)]);
  }
  return out;
}

TEST(Tokenizer, GreedyLongestMatchAndUnknown) {
  const Tokenizer toy = Toy({"un", "##want", "##ed", "want", "##wanted", "a"});
  EXPECT_THAT(Pieces(toy, "unwanted UNWANT wanted"),
              ElementsAre("un", "##wanted", "un", "##want", "want", "##ed"));
  EXPECT_THAT(Pieces(toy, "unwantedx a"), ElementsAre("[UNK]", "a"));  // no partial word
  EXPECT_TRUE(toy.Encode("").empty());
  EXPECT_TRUE(toy.Encode(" \t\r\n ").empty());
}

TEST(Tokenizer, WordsOver100CharactersAreUnknown) {
  const Tokenizer toy = Toy({"a", "##a", "\xCE\xB1", "##\xCE\xB1"});  // Latin a, Greek alpha
  EXPECT_EQ(toy.Encode(std::string(100, 'a')).size(), 100u);
  EXPECT_THAT(Pieces(toy, std::string(101, 'a')), ElementsAre("[UNK]"));
  std::string greek;  // counted in characters, not bytes
  for (int i = 0; i < 100; ++i) greek += "\xCE\xB1";
  EXPECT_EQ(toy.Encode(greek).size(), 100u);
  EXPECT_THAT(Pieces(toy, greek + "\xCE\xB1"), ElementsAre("[UNK]"));
}

TEST(Tokenizer, DropsControlMalformedAndReplacement) {
  const Tokenizer toy = Toy({"ab", "a", "b"});
  using namespace std::string_literals;
  const std::vector<std::string> joined = {
      "a\0b"s,  // NUL
      "a\xEF\xBF\xBD"
      "b",  // U+FFFD
      "a\xFF"
      "b",  // never a UTF-8 byte
      "a\x80"
      "b",  // continuation without start
      "a\xE2\x82"
      "b",  // cut short before another character
      "a\xC0\xAF"
      "b",  // overlong
      "a\xED\xA0\x80"
      "b",  // surrogate
      "a\xF4\x90\x80\x80"
      "b",  // over U+10FFFF
      "a\x0B"
      "b",  // vertical tab: Cc
      "a\x1C"
      "b",  // Cc
      "a\x7F"
      "b",  // DEL
      "a\xC2\x85"
      "b",  // NEL: Cc
      "a\xC2\xAD"
      "b",  // soft hyphen: Cf
      "a\xE2\x80\x8B"
      "b",  // zero width space: Cf
      "a\xEE\x80\x80"
      "b",  // private use: Co
  };
  for (const std::string& text : joined) {
    EXPECT_THAT(Pieces(toy, text), ElementsAre("ab")) << testing::PrintToString(text);
  }
  EXPECT_THAT(Pieces(toy, "ab\xE2\x82"), ElementsAre("ab"));  // cut short at the end
  // U+0378 is unassigned (Cn): it stays, as in the Hugging Face tokenizer, and no piece has it.
  EXPECT_THAT(Pieces(toy, "a\xCD\xB8"), ElementsAre("[UNK]"));
}

TEST(Tokenizer, SpacesOfEveryKindSeparate) {
  const Tokenizer toy = Toy({"ab", "a", "b"});
  for (const char* space : {" ", "\t", "\n", "\r", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\x89",
                            "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE3\x80\x80"}) {
    EXPECT_THAT(Pieces(toy, StrCat("a", space, "b")), ElementsAre("a", "b"));
  }
}

TEST(Tokenizer, CaseMarksAndIdeographs) {
  const Tokenizer toy = Toy({"uber", "i", "x", "\xE5\x8D\x9A", "\xE4\xBA\x86", "##i", "\xCF\x83",
                             "##\xCF\x83", "\xC3\x9F", "\xE0\xA4\x95\xE0\xA4\xBE"});
  EXPECT_THAT(Pieces(toy,
                     "\xC3\x9C"
                     "BER u\xCC\x88"
                     "ber"),
              ElementsAre("uber", "uber"));
  EXPECT_THAT(Pieces(toy, "\xC4\xB0"), ElementsAre("i"));  // dotted capital I
  EXPECT_THAT(Pieces(toy, "x\xE5\x8D\x9A\xE4\xBA\x86x"),
              ElementsAre("x", "\xE5\x8D\x9A", "\xE4\xBA\x86", "x"));
  EXPECT_THAT(Pieces(toy, "\xEF\xA8\x8E"), ElementsAre("[UNK]"));  // U+FA0E: an ideograph alone
  EXPECT_THAT(Pieces(toy, "\xCE\xA3\xCE\xA3"),
              ElementsAre("\xCF\x83", "##\xCF\x83"));                 // no final form
  EXPECT_THAT(Pieces(toy, "\xE1\xBA\x9E"), ElementsAre("\xC3\x9F"));  // sharp S
  // A spacing mark (Mc) stays, unlike a non-spacing one (Mn).
  EXPECT_THAT(Pieces(toy, "\xE0\xA4\x95\xE0\xA4\xBE"), ElementsAre("\xE0\xA4\x95\xE0\xA4\xBE"));
}

TEST(Tokenizer, HangulIsDecomposed) {
  const Tokenizer toy = Toy({"\xE1\x84\x80", "##\xE1\x85\xA1"});
  EXPECT_THAT(Pieces(toy, "\xEA\xB0\x80"), ElementsAre("\xE1\x84\x80", "##\xE1\x85\xA1"));
}

TEST(Tokenizer, PunctuationStandsAlone) {
  const Tokenizer toy =
      Toy({"a", "b", "##b", "$", "`", "_", "~", "\xE2\x80\x94", "\xC2\xBF", "\xE3\x80\x82", ";"});
  EXPECT_THAT(Pieces(toy, "a$b"), ElementsAre("a", "$", "b"));
  EXPECT_THAT(Pieces(toy, "a`_~b"), ElementsAre("a", "`", "_", "~", "b"));
  EXPECT_THAT(Pieces(toy,
                     "a\xE2\x80\x94\xC2\xBF"
                     "b\xE3\x80\x82"),
              ElementsAre("a", "\xE2\x80\x94", "\xC2\xBF", "b", "\xE3\x80\x82"));
  EXPECT_THAT(Pieces(toy,
                     "a\xCD\xBE"
                     "b"),
              ElementsAre("a", ";", "b"));                          // Greek question mark
  EXPECT_THAT(Pieces(toy, "a\xE2\x82\xAC"), ElementsAre("[UNK]"));  // Sc is not punctuation
}

TEST(Tokenizer, SpecialTokensInTheTextStandForThemselves) {
  const Tokenizer toy = Toy({"a", "b", "[", "]", "mask"});
  EXPECT_THAT(Pieces(toy, "a[MASK]b [SEP] [PAD][CLS]"),
              ElementsAre("a", "[MASK]", "b", "[SEP]", "[PAD]", "[CLS]"));
  EXPECT_THAT(Pieces(toy, "[mask] [MASK"), ElementsAre("[", "mask", "]", "[", "mask"));
  const Tokenizer without({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[", "]", "mask"});
  EXPECT_THAT(Pieces(without, "[MASK]"), ElementsAre("[", "mask", "]"));
}

TEST(Tokenizer, TruncationKeepsTheSpecials) {
  const Tokenizer toy = Toy({"a", "b", "c", "d"});  // ids 5 to 8
  EXPECT_THAT(toy.EncodeWithSpecials("a b c d", 4), ElementsAre(2, 5, 6, 3));
  EXPECT_THAT(toy.EncodeWithSpecials("a", 4), ElementsAre(2, 5, 3));
  EXPECT_THAT(toy.EncodeWithSpecials("a", 2), ElementsAre(2, 3));
  EXPECT_THAT(toy.EncodePair("a b c", "d"), ElementsAre(2, 5, 6, 7, 3, 8, 3));
  EXPECT_THAT(toy.EncodePair("a b c", "d", 6), ElementsAre(2, 5, 6, 3, 8, 3));
  EXPECT_THAT(toy.EncodePair("a b c", "d c b", 8), ElementsAre(2, 5, 6, 7, 3, 8, 7, 3));
  EXPECT_THAT(toy.EncodePair("d", "a b c", 6), ElementsAre(2, 8, 3, 5, 6, 3));
}

TEST(Tokenizer, LongTextsTakeLinearTime) {
  const Tokenizer toy = Toy({"a", "##a"});
  std::string text;
  for (int i = 0; i < 200000; ++i) text += "aaa aaaa\xCC\x81 ";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(toy.Encode(text).size(), 1400000u);
  EXPECT_EQ(toy.Encode(std::string(1000000, 'a')).size(), 1u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Tokenizer, VocabularyFiles) {
  const TempDir temp;
  const std::string path = temp.path() + "/vocab.txt";
  WriteFileAtomic(path, "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\na\r\n");
  const Tokenizer crlf = Tokenizer::FromFile(path);
  EXPECT_EQ(crlf.pieces().size(), 5u);
  EXPECT_THAT(crlf.EncodeWithSpecials("a"), ElementsAre(2, 4, 3));

  WriteFileAtomic(path, "[PAD]\n[UNK]\n[CLS]\na\n");
  try {
    Tokenizer::FromFile(path);
    FAIL() << "a vocabulary without [SEP] was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInvalidData);
    EXPECT_THAT(error.what(), HasSubstr(path));
    EXPECT_THAT(error.what(), HasSubstr("[SEP]"));
  }
  try {
    Tokenizer::FromFile(temp.path() + "/absent.txt");
    FAIL() << "an absent vocabulary was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInputMissing);
  }
}

TEST(LearnVocabulary, SmallSetsBecomeWholeWords) {
  const std::vector<std::string> texts = {"No pleural effusion.", "Pleural effusion, no nodule.",
                                          "Nodule once"};
  const std::vector<std::string> pieces = LearnVocabulary(texts, 400);
  const Tokenizer tokenizer(pieces);
  EXPECT_THAT(Pieces(tokenizer, "no PLEURAL effusion. nodule"),
              ElementsAre("no", "pleural", "effusion", ".", "nodule"));
  const std::set<std::string> set(pieces.begin(), pieces.end());
  EXPECT_EQ(set.size(), pieces.size());  // no entry twice
  EXPECT_TRUE(set.contains("##f"));      // a letter in both forms
  EXPECT_FALSE(set.contains("##."));     // punctuation always stands alone
  EXPECT_FALSE(set.contains("pleur"));   // a step on the way to "pleural" made room again
  EXPECT_FALSE(Pieces(tokenizer, "once") == std::vector<std::string>{"once"});  // seen once only
}

TEST(LearnVocabulary, MergesTheMostFrequentPairFirst) {
  const std::vector<std::string> texts = {"ab ab cd", "cd ab"};  // "ab" 3 times, "cd" twice
  const std::vector<std::string> full = LearnVocabulary(texts, 100);
  EXPECT_EQ(full.back(), "cd");
  EXPECT_EQ(full[full.size() - 2], "ab");
  EXPECT_EQ(LearnVocabulary(texts, full.size() - 1).back(), "ab");
}

TEST(LearnVocabulary, KeepsTheLimitAndEncodesEverything) {
  Random random(5, Purpose::kTest);
  std::vector<std::string> texts;
  for (int i = 0; i < 1200; ++i) {
    std::string text;
    for (int w = 0; w < 8; ++w) {
      const std::uint64_t letters = 2 + random.Below(7);
      for (std::uint64_t k = 0; k < letters; ++k) {
        text.push_back(static_cast<char>('a' + random.Below(26)));
      }
      text.push_back(' ');
    }
    texts.push_back(text);
  }
  const std::vector<std::string> pieces = LearnVocabulary(texts, 1000);
  EXPECT_EQ(pieces.size(), 1000u);
  EXPECT_EQ(pieces, LearnVocabulary(texts, 1000));
  std::vector<std::string> reversed(texts.rbegin(), texts.rend());
  EXPECT_EQ(pieces, LearnVocabulary(reversed, 1000));  // the order of the texts does not matter
  const Tokenizer tokenizer(pieces);
  for (const std::string& text : texts) {
    for (const std::int64_t id : tokenizer.Encode(text)) ASSERT_NE(id, 1) << text;
  }
  EXPECT_EQ(LearnVocabulary(texts, 20).size(), 20u);  // not even the letters fit
  EXPECT_THROW(LearnVocabulary(texts, 5), Error);
}

TEST(LearnVocabulary, FiftyThousandSentencesTakeSeconds) {
  Random random(6, Purpose::kTest);
  std::vector<std::string> words;
  for (int i = 0; i < 5000; ++i) {
    std::string word;
    const std::uint64_t letters = 3 + random.Below(9);
    for (std::uint64_t k = 0; k < letters; ++k) {
      word.push_back(static_cast<char>('a' + random.Below(20)));
    }
    words.push_back(word);
  }
  std::vector<std::string> texts(50000);
  for (std::string& text : texts) {
    for (int w = 0; w < 12; ++w) text += words[random.Below(words.size())] + " ";
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(LearnVocabulary(texts, 4000).size(), 4000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
}

}  // namespace
}  // namespace vesalius::data
