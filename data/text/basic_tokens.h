// BERT's basic tokenizer, uncased: what happens to a text before WordPiece looks at its words
// (Hugging Face's BertNormalizer and BertPreTokenizer). Shared by encoding and vocabulary learning.
// Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vesalius::data {

// The words of `text` as UTF-8, in order: cleaned (NUL, U+FFFD, malformed bytes and categories
// Cc, Cf, Co and Cs dropped, white space split on), CJK ideographs alone, canonically decomposed
// without category Mn, lower case, each punctuation character alone.
std::vector<std::string> BasicTokens(std::string_view text);

// Characters (code points) of well-formed UTF-8.
std::vector<std::string_view> Characters(std::string_view text);

}  // namespace vesalius::data
