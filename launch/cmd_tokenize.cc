// `vesalius tokenize`
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/text/tokenizer.h"
#include "launch/command.h"
#include "launch/flags.h"
#include "launch/output.h"

namespace vesalius::launch {
namespace {

// One input line: a JSON string, or an array of two.
std::vector<std::string> Texts(const std::string& line, std::int64_t number) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_string()) return {json.get<std::string>()};
  if (json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string())
    return {json[0].get<std::string>(), json[1].get<std::string>()};
  Fail(ExitCode::kInvalidData, "standard input, line ", number,
       ": not a JSON string or an array of two strings");
}

std::vector<std::int64_t> Ids(const data::Tokenizer& tokenizer,
                              const std::vector<std::string>& texts) {
  if (!FLAGS_bare)
    return texts.size() == 1 ? tokenizer.EncodeWithSpecials(texts[0])
                             : tokenizer.EncodePair(texts[0], texts[1]);
  std::vector<std::int64_t> ids;
  for (const std::string& text : texts)
    for (const std::int64_t id : tokenizer.Encode(text)) ids.push_back(id);
  return ids;
}

ExitCode Run(const Arguments&) {
  const data::Tokenizer tokenizer = data::Tokenizer::FromFile(FLAGS_vocab);
  std::string line;
  for (std::int64_t number = 1; std::getline(std::cin, line); ++number)
    Print(nlohmann::json(Ids(tokenizer, Texts(line, number))).dump() + "\n");
  Require(!std::cin.bad(), ExitCode::kInputMissing, "cannot read standard input");
  return ExitCode::kFinished;
}

}  // namespace

Command TokenizeCommand() {
  return {"tokenize",
          "turns texts, a JSON string or a pair of them a line, into BERT WordPiece ids",
          "",
          "v=$(mktemp)\n"
          "printf '%s\\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' clear lung '##s' > $v\n"
          "echo '\"Clear lungs\"' | vesalius tokenize --vocab $v",
          {{"vocab", "FILE", "vocab.txt: one token a line", Flag::kRequired},
           {"bare", "", "without [CLS] and [SEP]"}},
          Run};
}

}  // namespace vesalius::launch
