// The texts of a data set under a frozen text encoder: each is encoded once, by one rank, and its
// pooled hidden vector (what the projection reads) kept in a sharded table, keyed by the 64-bit
// hash of the text. Training looks vectors up and trains only the projection. A text that is not in
// the table is encoded when it turns up: the result is that of the encoder either way.
//
// Every rank holds all keys (8 bytes a text, sorted; the place of a key is its row) and its share
// of the vectors. The table follows from data set and encoder: checkpoints do not hold it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "dist/table/sharded_table.h"
#include "model/text.h"

namespace vesalius::model {

// Reports are cut at another length than sentences, so the same text may have two vectors: the
// keys of reports are spread into a space of their own. int64 -> int64, element by element.
at::Tensor ReportKeys(const at::Tensor& hashes);
std::int64_t ReportKey(std::int64_t hash);

class SentenceTable {
 public:
  using Texts = std::map<std::int64_t, std::vector<std::int64_t>>;  // key -> token ids

  // Collective. `texts`: what this rank knows of; ranks may know the same ones. `options`: name,
  // strategy, type and budget; rows and width are set here. Every text is sent at most once and
  // encoded once, in groups of similar length.
  SentenceTable(dist::Communicator& comm, const TextEncoder& encoder, const Texts& texts,
                dist::TableOptions options, at::Device device);

  // Collective. keys [n] with token ids [n, t] -> pooled vectors [n, H], without gradient.
  at::Tensor Pooled(const at::Tensor& keys, const at::Tensor& ids, const TextEncoder& encoder);

  std::int64_t rows() const { return static_cast<std::int64_t>(keys_.size()); }
  std::int64_t missed() const { return missed_; }  // texts encoded because they were not there
  std::int64_t encoded_here() const { return encoded_here_; }       // of the table's, by this rank
  const dist::ShardedTable* table() const { return table_.get(); }  // null without texts

 private:
  std::vector<std::int64_t> keys_;             // ascending
  std::unique_ptr<dist::ShardedTable> table_;  // none without texts
  std::int64_t width_ = 0, missed_ = 0, encoded_here_ = 0;
};

}  // namespace vesalius::model
