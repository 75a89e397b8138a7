// Which pairs of a contrastive loss are positive or left out, asked for tile by tile, so that no
// matrix of rows x columns ever exists.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

// Flat positions (row * columns + column) in a tile, int64; undefined or empty: none.
struct TilePairs {
  at::Tensor positive, ignored;
};

class Positives {
 public:
  virtual ~Positives() = default;
  // Of this rank's rows [row0, row1) against columns [column0, column1), columns counted over all
  // ranks. The same answer each time.
  virtual TilePairs At(std::int64_t row0, std::int64_t row1, std::int64_t column0,
                       std::int64_t column1) const = 0;
};

// Row i of a rank belongs to column i of the same rank; pairs with equal 64-bit keys are positives
// too (kShare) or left out (kDrop). Joined by hash once; a tile costs its rows and its pairs.
class KeyPositives : public Positives {
 public:
  enum class Extra { kShare, kDrop };
  // Without keys only the diagonal: `first` is this rank's first column.
  explicit KeyPositives(std::int64_t first) : first_(first) {}
  // Collective: gathers the keys [rows[rank]] int64, 8 bytes a sample.
  KeyPositives(Communicator& comm, std::string_view name, const at::Tensor& keys,
               const std::vector<std::int64_t>& rows, Extra extra);
  TilePairs At(std::int64_t row0, std::int64_t row1, std::int64_t column0,
               std::int64_t column1) const override;

 private:
  std::int64_t first_ = 0;
  Extra extra_ = Extra::kShare;
  at::Device device_ = at::kCPU;
  std::vector<std::int64_t> mine_;                                       // keys of this rank's rows
  std::unordered_map<std::int64_t, std::vector<std::int64_t>> columns_;  // by key, ascending
};

}  // namespace vesalius::dist
