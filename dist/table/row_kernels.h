// What is done to rows: gather, sums of gradients by distinct id, and the two sparse updates, fused
// with that sum, so that a gradient row is read once and a table row read and written once. Plain
// loops over contiguous rows, for float and double; each works on distinct ids [begin, end) and
// may run on several threads at once, which changes no bit.
#pragma once

#include <cstdint>

namespace vesalius::dist {

// out[i] = table[ids[i]]; rows of `width` values.
template <typename T, typename Id>
void GatherRows(const T* table, std::int64_t width, const Id* ids, std::int64_t begin,
                std::int64_t end, T* out);

// Gradient rows by distinct id (dist/table/dedupe.h Groups): the gradient of id u is the sum of
// rows positions[offsets[u]] .. in that order.
template <typename T>
struct GradientRows {
  const T* rows = nullptr;
  std::int64_t width = 0;
  const std::int32_t* offsets = nullptr;
  const std::int32_t* positions = nullptr;
};

// out[u] = the gradient of u.
template <typename T>
void SumRows(const GradientRows<T>& gradients, std::int64_t begin, std::int64_t end, T* out);

// out[u * stride + b] = the sum of squares of column block b (dist/table/layout.h) of u's gradient,
// in float64.
template <typename T>
void SumSquaresOfBlocks(const GradientRows<T>& gradients, std::int64_t begin, std::int64_t end,
                        std::int64_t stride, double* out);

// Row-wise Adagrad (as in FBGEMM's EXACT_ROWWISE_ADAGRAD): for the gradient g of a row of `width`
//   h += mean(g^2);  w -= lr * g / (sqrt(h) + eps)
// `squares`, where given, holds the sums of squares of all column blocks of the rows of
// `full_width` values (the table is split by columns); otherwise they are computed here. Either way
// they are added block by block from the left, so that the split changes no bit.
template <typename T>
struct AdagradUpdate {
  T* table = nullptr;                 // [rows, width]
  T* state = nullptr;                 // [rows]
  double scale = 1, lr = 0, eps = 0;  // gradients are multiplied by scale first
  const double* squares = nullptr;    // [ids, ColumnBlocks(full_width)]
  std::int64_t full_width = 0;
};
template <typename T>
void ApplyAdagrad(const AdagradUpdate<T>& update, const GradientRows<T>& gradients,
                  const std::int64_t* ids, std::int64_t begin, std::int64_t end);

// Lazy Adam: Adam (Kingma & Ba, 2015) on the rows that have a gradient. A row's moments decay by
// the steps since it was last touched, as dense Adam's would; unlike dense Adam, a row does not
// move while it has no gradient. With k = step - last:
//   m = b1^k m + (1 - b1) g;  v = b2^k v + (1 - b2) g^2
//   w -= lr * (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + eps)
template <typename T>
struct AdamUpdate {
  T* table = nullptr;
  T* moment1 = nullptr;  // [rows, width], like the next
  T* moment2 = nullptr;
  std::int32_t* last = nullptr;  // [rows] step of the last update, 0 before the first
  double scale = 1, lr = 0, beta1 = 0, beta2 = 0, eps = 0;
  std::int64_t step = 0;  // counts from 1
};
template <typename T>
void ApplyAdam(const AdamUpdate<T>& update, const GradientRows<T>& gradients,
               const std::int64_t* ids, std::int64_t begin, std::int64_t end);

}  // namespace vesalius::dist
