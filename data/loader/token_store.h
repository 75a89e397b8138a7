// The reports of a data set as tokens, made once and kept in a file: training reads them from there
// instead of tokenising each report again in every epoch, and knows all lengths beforehand. The
// file is mapped, so it costs no memory of the process. Format: docs/formats.md, "Token files".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace vesalius::data {

// Immutable, thread-safe.
class TokenStore {
 public:
  // Errors: kInputMissing, kInvalidData when it is not a whole token file of `key` and `records`.
  TokenStore(const std::string& path, const std::string& key, std::int64_t records);
  ~TokenStore();
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;

  // Tokens of report `index` without [CLS] and [SEP]; 0 where it could not be read.
  std::int64_t Length(std::int64_t index) const;
  // These tokens; nothing where the report could not be read, or where the file is damaged.
  std::optional<std::vector<std::int64_t>> Read(std::int64_t index) const;

 private:
  std::int64_t records_ = 0;
  const unsigned char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// The token file of the training reports of `dataset` for its own word pieces: the first good one
// of that name in `folders`, else made, in the first of them that can be written to. Other ranks
// may do the same at once. `progress` is called while it is made. Error(kCannotCreate) when no
// folder can be written to.
std::shared_ptr<const TokenStore> OpenTokenStore(
    const Dataset& dataset, const std::vector<std::string>& folders,
    const std::function<void(std::int64_t done, std::int64_t total)>& progress);

}  // namespace vesalius::data
