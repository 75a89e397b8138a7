// A vocabulary and a text. The input is a vocab.txt, a zero byte, and the text; without a zero byte
// it is the text, for a small vocabulary.
#include "data/text/tokenizer.h"

#include "tests/fuzz/fuzz.h"

namespace {

constexpr std::string_view kSmall =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nlung\n##s\n##g\nlun\na\n##a\n."
    "\n\xe4\xb8\xad\n\xc3\xa9\n";

void Encode(std::string_view vocabulary, std::string_view text) {
  const vesalius::fuzz::MemoryFile file(vocabulary);
  const auto tokenizer = vesalius::data::Tokenizer::FromFile(file.path());
  const auto count = static_cast<std::int64_t>(tokenizer.pieces().size());
  const auto check = [&](const std::vector<std::int64_t>& ids, std::size_t most) {
    vesalius::fuzz::Check(ids.size() <= most);
    for (const std::int64_t id : ids) vesalius::fuzz::Check(id >= 0 && id < count);
  };
  check(tokenizer.EncodeWithSpecials(text), text.size() * 4 + 2);
  check(tokenizer.EncodeWithSpecials(text, 2), 2);
  check(tokenizer.EncodePair(text, text.substr(text.size() / 2), 7), 7);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = vesalius::fuzz::Text(data, size);
  const std::size_t zero = input.find('\0');
  vesalius::fuzz::Accepts([&] {
    if (zero == std::string_view::npos)
      Encode(kSmall, input);
    else
      Encode(input.substr(0, zero), input.substr(zero + 1));
  });
  const std::vector<std::string> texts = {std::string(input)};
  vesalius::fuzz::Check(vesalius::data::LearnVocabulary(texts, 40).size() <= 40);
  return 0;
}
