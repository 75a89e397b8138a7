// The attention kernel over an abstract vector of eight floats (`L`), compiled once for AVX2 and
// once portably: ops/attention_kernel.h says what it computes.
//
// All products are one tile: up to six rows times sixteen columns of accumulators, which sixteen
// vector registers hold. Widths and key counts are padded with zeros to multiples of sixteen.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "ops/attention_kernel.h"

namespace vesalius::ops {

constexpr int kAttentionRows = 6, kAttentionColumns = 16;

inline std::int64_t PadColumns(std::int64_t n) {
  return (n + kAttentionColumns - 1) / kAttentionColumns * kAttentionColumns;
}

// acc[R][16] = sum over k < depth of a[r * lda + k] * b[k * ldb + column]; then use(r, low, high).
template <typename L, int R, typename Use>
inline void Tile(const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                 std::int64_t depth, const Use& use) {
  typename L::V low[R], high[R];
  for (int r = 0; r < R; ++r) low[r] = high[r] = L::Zero();
  for (std::int64_t k = 0; k < depth; ++k) {
    const typename L::V b0 = L::Load(b + k * ldb), b1 = L::Load(b + k * ldb + 8);
    for (int r = 0; r < R; ++r) {
      const typename L::V x = L::Set(a[r * lda + k]);
      low[r] = L::Fma(x, b0, low[r]);
      high[r] = L::Fma(x, b1, high[r]);
    }
  }
  for (int r = 0; r < R; ++r) use(r, low[r], high[r]);
}

// c[j][16] += sum over the R rows of a[r * lda + j] * b[r * ldb + column], for j < rows.
template <typename L, int R>
inline void AddOuter(const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float* c,
                     std::int64_t ldc, std::int64_t rows) {
  typename L::V b0[R], b1[R];
  for (int r = 0; r < R; ++r) b0[r] = L::Load(b + r * ldb), b1[r] = L::Load(b + r * ldb + 8);
  for (std::int64_t j = 0; j < rows; ++j) {
    typename L::V low = L::Load(c + j * ldc), high = L::Load(c + j * ldc + 8);
    for (int r = 0; r < R; ++r) {
      const typename L::V x = L::Set(a[r * lda + j]);
      low = L::Fma(x, b0[r], low);
      high = L::Fma(x, b1[r], high);
    }
    L::Store(c + j * ldc, low);
    L::Store(c + j * ldc + 8, high);
  }
}

// std::allocator under a name of its own: code for one processor, made in a file with its flags,
// must not become the program's only std::vector<float>.
template <typename L>
struct LaneMemory {
  using value_type = float;
  template <typename>
  struct rebind {
    using other = LaneMemory;
  };
  float* allocate(std::size_t n) { return std::allocator<float>().allocate(n); }
  void deallocate(float* p, std::size_t n) { std::allocator<float>().deallocate(p, n); }
  bool operator==(const LaneMemory&) const = default;
};

// The packed operands and row buffers of one unit; memory is kept from unit to unit.
template <typename L>
class AttentionUnit {
 public:
  explicit AttentionUnit(const AttentionShape& shape)
      : shape_(shape),
        pad_(PadColumns(shape.width)),
        key_pad_(std::max<std::int64_t>(PadColumns(shape.t), kAttentionColumns)),
        scale_(1.0f / std::sqrt(static_cast<float>(shape.width))) {}

  void Forward(std::int64_t unit, const float* qkv, float* out, float* lse) {
    Begin(unit);
    Transpose(Part(qkv, 1), &keys_t_);
    Pack(Part(qkv, 2), Stride(), keys_, 1.0f, &values_);
    rows_.resize(kAttentionRows * pad_);
    scores_.resize(kAttentionRows * key_pad_);
    result_.resize(kAttentionRows * pad_);
    ForBlocks([&](auto size, std::int64_t row) {
      constexpr int R = decltype(size)::value;
      Pack(Part(qkv, 0) + row * Stride(), Stride(), R, scale_, &rows_);
      Scores<R>();
      for (int r = 0; r < R; ++r) {
        float inverse;
        lse[unit * shape_.t + row + r] = Softmax(scores_.data() + r * key_pad_, &inverse);
        inverse_[r] = inverse;
      }
      for (std::int64_t c = 0; c < pad_; c += kAttentionColumns)
        Tile<L, R>(scores_.data(), key_pad_, values_.data() + c, pad_, keys_,
                   [&](int r, auto low, auto high) {
                     const auto by = L::Set(inverse_[r]);
                     L::Store(result_.data() + r * pad_ + c, L::Mul(low, by));
                     L::Store(result_.data() + r * pad_ + c + 8, L::Mul(high, by));
                   });
      Unpack(result_, R, Output(out) + row * shape_.heads * shape_.width,
             shape_.heads * shape_.width);
    });
  }

  void Backward(std::int64_t unit, const float* qkv, const float* out, const float* lse,
                const float* grad_out, float* grad_qkv) {
    Begin(unit);
    const std::int64_t out_stride = shape_.heads * shape_.width;
    Transpose(Part(qkv, 1), &keys_t_);
    Transpose(Part(qkv, 2), &values_t_);
    Pack(Part(qkv, 1), Stride(), keys_, 1.0f, &values_);  // the keys, row by row
    grad_keys_.assign(std::max<std::int64_t>(shape_.t, 1) * pad_, 0.0f);
    grad_values_.assign(std::max<std::int64_t>(shape_.t, 1) * pad_, 0.0f);
    rows_.resize(kAttentionRows * pad_);
    grad_rows_.resize(kAttentionRows * pad_);
    scores_.resize(kAttentionRows * key_pad_);
    grad_scores_.resize(kAttentionRows * key_pad_);
    result_.resize(kAttentionRows * pad_);
    ForBlocks([&](auto size, std::int64_t row) {
      constexpr int R = decltype(size)::value;
      Pack(Part(qkv, 0) + row * Stride(), Stride(), R, scale_, &rows_);
      Pack(Output(grad_out) + row * out_stride, out_stride, R, 1.0f, &grad_rows_);
      float dots[R];
      for (int r = 0; r < R; ++r)
        dots[r] = Dot(Output(out) + (row + r) * out_stride, grad_rows_.data() + r * pad_);
      Scores<R>();
      for (int r = 0; r < R; ++r)
        Probabilities(scores_.data() + r * key_pad_, lse[unit * shape_.t + row + r]);
      for (std::int64_t j = 0; j < key_pad_of_keys_; j += kAttentionColumns)
        Tile<L, R>(grad_rows_.data(), pad_, values_t_.data() + j, key_pad_, shape_.width,
                   [&](int r, auto low, auto high) {
                     const auto dot = L::Set(dots[r]);
                     const float* p = scores_.data() + r * key_pad_ + j;
                     float* d = grad_scores_.data() + r * key_pad_ + j;
                     L::Store(d, L::Mul(L::Load(p), L::Sub(low, dot)));
                     L::Store(d + 8, L::Mul(L::Load(p + 8), L::Sub(high, dot)));
                   });
      for (std::int64_t c = 0; c < pad_; c += kAttentionColumns) {
        Tile<L, R>(grad_scores_.data(), key_pad_, values_.data() + c, pad_, keys_,
                   [&](int r, auto low, auto high) {
                     const auto by = L::Set(scale_);
                     L::Store(result_.data() + r * pad_ + c, L::Mul(low, by));
                     L::Store(result_.data() + r * pad_ + c + 8, L::Mul(high, by));
                   });
        AddOuter<L, R>(scores_.data(), key_pad_, grad_rows_.data() + c, pad_,
                       grad_values_.data() + c, pad_, keys_);
        AddOuter<L, R>(grad_scores_.data(), key_pad_, rows_.data() + c, pad_, grad_keys_.data() + c,
                       pad_, keys_);
      }
      Unpack(result_, R, Part(grad_qkv, 0) + row * Stride(), Stride());
    });
    Unpack(grad_keys_, shape_.t, Part(grad_qkv, 1), Stride());
    Unpack(grad_values_, shape_.t, Part(grad_qkv, 2), Stride());
  }

 private:
  using Buffer = std::vector<float, LaneMemory<L>>;

  void Begin(std::int64_t unit) {
    sequence_ = unit / shape_.heads;
    head_ = unit % shape_.heads;
    keys_ = shape_.lengths == nullptr ? shape_.t : shape_.lengths[sequence_];
    key_pad_of_keys_ = PadColumns(keys_);
  }
  std::int64_t Stride() const { return 3 * shape_.heads * shape_.width; }
  // q (0), k (1) or v (2) of this unit in memory like qkv's; row r is Stride() * r further.
  template <typename T>
  T* Part(T* qkv, int part) const {
    return qkv + sequence_ * shape_.t * Stride() + (part * shape_.heads + head_) * shape_.width;
  }
  template <typename T>
  T* Output(T* out) const {
    return out + (sequence_ * shape_.t * shape_.heads + head_) * shape_.width;
  }

  void Pack(const float* from, std::int64_t stride, std::int64_t rows, float by, Buffer* to) const {
    to->resize(std::max<std::int64_t>(rows, kAttentionRows) * pad_);
    for (std::int64_t r = 0; r < rows; ++r) {
      float* line = to->data() + r * pad_;
      for (std::int64_t c = 0; c < shape_.width; ++c) line[c] = from[r * stride + c] * by;
      std::fill(line + shape_.width, line + pad_, 0.0f);
    }
  }
  // [width][key_pad], zero past the keys.
  void Transpose(const float* from, Buffer* to) const {
    to->resize(shape_.width * key_pad_);
    for (std::int64_t j = 0; j < keys_; ++j)
      for (std::int64_t c = 0; c < shape_.width; ++c)
        (*to)[c * key_pad_ + j] = from[j * Stride() + c];
    for (std::int64_t c = 0; c < shape_.width; ++c)
      std::fill(to->begin() + c * key_pad_ + keys_, to->begin() + c * key_pad_ + key_pad_of_keys_,
                0.0f);
  }
  void Unpack(const Buffer& from, std::int64_t rows, float* to, std::int64_t stride) const {
    for (std::int64_t r = 0; r < rows; ++r)
      std::copy_n(from.data() + r * pad_, shape_.width, to + r * stride);
  }
  float Dot(const float* a, const float* b) const {
    float sum = 0;
    for (std::int64_t c = 0; c < shape_.width; ++c) sum += a[c] * b[c];
    return sum;
  }

  // Calls body(std::integral_constant<int, R>, first row) for all rows, six at a time.
  template <typename Body>
  void ForBlocks(const Body& body) {
    std::int64_t row = 0;
    for (; row + kAttentionRows <= shape_.t; row += kAttentionRows)
      body(std::integral_constant<int, kAttentionRows>(), row);
    Rest(shape_.t - row, row, body, std::make_integer_sequence<int, kAttentionRows - 1>());
  }
  template <typename Body, int... Index>
  void Rest(std::int64_t left, std::int64_t row, const Body& body,
            std::integer_sequence<int, Index...>) {
    ((left == Index + 1 ? body(std::integral_constant<int, Index + 1>(), row) : void()), ...);
  }

  template <int R>
  void Scores() {
    for (std::int64_t j = 0; j < key_pad_of_keys_; j += kAttentionColumns)
      Tile<L, R>(rows_.data(), pad_, keys_t_.data() + j, key_pad_, shape_.width,
                 [&](int r, auto low, auto high) {
                   L::Store(scores_.data() + r * key_pad_ + j, low);
                   L::Store(scores_.data() + r * key_pad_ + j + 8, high);
                 });
  }

  // Scores of a row to e^(score - largest); returns the log-sum-exp and 1 / sum.
  float Softmax(float* row, float* inverse) const {
    constexpr float kNone = -std::numeric_limits<float>::infinity();
    *inverse = 0;
    if (keys_ == 0) return kNone;
    std::fill(row + keys_, row + key_pad_of_keys_, kNone);
    auto most = L::Load(row);
    for (std::int64_t j = 8; j < key_pad_of_keys_; j += 8) most = L::Max(most, L::Load(row + j));
    float lanes[8];
    L::Store(lanes, most);
    const float largest = *std::max_element(lanes, lanes + 8);
    auto total = L::Zero();
    for (std::int64_t j = 0; j < key_pad_of_keys_; j += 8) {
      const auto e = L::Exp(L::Sub(L::Load(row + j), L::Set(largest)));
      total = L::Add(total, e);
      L::Store(row + j, e);
    }
    L::Store(lanes, total);
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    *inverse = 1.0f / sum;
    return largest + std::log(sum);
  }
  void Probabilities(float* row, float lse) const {
    for (std::int64_t j = 0; j < key_pad_of_keys_; j += 8)
      L::Store(row + j, L::Exp(L::Sub(L::Load(row + j), L::Set(lse))));
  }

  const AttentionShape& shape_;
  std::int64_t pad_, key_pad_;
  float scale_;
  std::int64_t sequence_ = 0, head_ = 0, keys_ = 0, key_pad_of_keys_ = 0;
  float inverse_[kAttentionRows] = {};
  Buffer keys_t_, values_t_, values_, grad_keys_, grad_values_;
  Buffer rows_, grad_rows_, scores_, grad_scores_, result_;
};

template <typename L>
void AttentionForwardUnits(const AttentionShape& shape, const float* qkv, float* out, float* lse,
                           std::int64_t begin, std::int64_t end) {
  AttentionUnit<L> work(shape);
  for (std::int64_t unit = begin; unit < end; ++unit) work.Forward(unit, qkv, out, lse);
}

template <typename L>
void AttentionBackwardUnits(const AttentionShape& shape, const float* qkv, const float* out,
                            const float* lse, const float* grad_out, float* grad_qkv,
                            std::int64_t begin, std::int64_t end) {
  AttentionUnit<L> work(shape);
  for (std::int64_t unit = begin; unit < end; ++unit)
    work.Backward(unit, qkv, out, lse, grad_out, grad_qkv);
}

}  // namespace vesalius::ops
