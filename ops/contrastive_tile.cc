#include "ops/contrastive_tile.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "ops/contrastive_sweep.h"

namespace vesalius::ops {
namespace {

constexpr std::int64_t kStrip = 64;   // rows that one thread does at a time
constexpr double kSpread = 60;        // of r and c within which one exponential serves both
constexpr double kVanishing = 1e-30;  // a sum below it has lost digits to underflow
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Calls body(strip, first row, end) for every strip of `rows`.
template <typename Body>
void ForStrips(std::int64_t rows, const Body& body) {
  const std::int64_t strips = (rows + kStrip - 1) / kStrip;
  at::parallel_for(0, strips, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s)
      body(s, s * kStrip, std::min(rows, (s + 1) * kStrip));
  });
}

template <typename T>
Tile<T> Strip(const at::Tensor& logits, std::int64_t begin, std::int64_t end) {
  const std::int64_t cols = logits.size(1);
  return {logits.data_ptr<T>() + begin * cols, end - begin, cols};
}

// Log-sum-exp of one line with its own reference.
template <typename T>
double LineLse(const T* l, std::int64_t count, std::int64_t stride) {
  double largest = -kInfinity, sum = 0;
  for (std::int64_t k = 0; k < count; ++k)
    largest = std::max(largest, static_cast<double>(l[k * stride]));
  if (largest == -kInfinity) return largest;
  for (std::int64_t k = 0; k < count; ++k)
    sum += std::exp(static_cast<double>(l[k * stride]) - largest);
  return largest + std::log(sum);
}

template <typename T>
void LseKernel(const at::Tensor& logits, double* rows_out, double* columns_out) {
  const std::int64_t m = logits.size(0), n = logits.size(1), strips = (m + kStrip - 1) / kStrip;
  std::vector<T> largest(strips), row_sums(m), column_sums(strips * n, T{0});
  ForStrips(m, [&](std::int64_t s, std::int64_t begin, std::int64_t end) {
    largest[s] = Largest(Strip<T>(logits, begin, end));
  });
  const T reference = std::accumulate(largest.begin(), largest.end(), -static_cast<T>(kInfinity),
                                      [](T a, T b) { return std::max(a, b); });
  if (reference == -static_cast<T>(kInfinity)) {
    std::fill_n(rows_out, m, -kInfinity);
    std::fill_n(columns_out, n, -kInfinity);
    return;
  }
  const T* l = logits.const_data_ptr<T>();
  ForStrips(m, [&](std::int64_t s, std::int64_t begin, std::int64_t end) {
    ExpSums(Strip<T>(logits, begin, end), reference, row_sums.data() + begin,
            column_sums.data() + s * n);
    for (std::int64_t i = begin; i < end; ++i)
      rows_out[i] = row_sums[i] < kVanishing
                        ? LineLse(l + i * n, n, 1)
                        : reference + std::log(static_cast<double>(row_sums[i]));
  });
  at::parallel_for(0, n, kStrip, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      double sum = 0;
      for (std::int64_t s = 0; s < strips; ++s) sum += column_sums[s * n + j];
      columns_out[j] = sum < kVanishing ? LineLse(l + j, m, n) : reference + std::log(sum);
    }
  });
}

template <typename T>
void CoefficientsKernel(const at::Tensor& logits, const double* r, const double* c,
                        double row_weight, double column_weight) {
  const std::int64_t m = logits.size(0), n = logits.size(1);
  double low = kInfinity, high = -kInfinity;
  const auto widen = [&](const double* line, std::int64_t count) {
    for (std::int64_t k = 0; k < count; ++k) {
      if (line[k] == kInfinity) continue;
      low = std::min(low, line[k]);
      high = std::max(high, line[k]);
    }
  };
  widen(r, m);
  widen(c, n);
  if (low == kInfinity) {
    logits.zero_();
    return;
  }
  const bool one = high - low <= kSpread;
  const auto prepared = [&](const double* line, std::int64_t count, double weight) {
    std::vector<T> out(count);
    for (std::int64_t k = 0; k < count; ++k)
      out[k] = static_cast<T>(one ? weight * std::exp(low - line[k]) : line[k]);
    return out;
  };
  // A reference that the element type holds exactly.
  low = static_cast<T>(low);
  const std::vector<T> a = prepared(r, m, row_weight), b = prepared(c, n, column_weight);
  ForStrips(m, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    const Tile<T> strip = Strip<T>(logits, begin, end);
    if (one)
      Coefficients(strip, static_cast<T>(low), a.data() + begin, b.data());
    else
      TwoCoefficients(strip, a.data() + begin, b.data(), static_cast<T>(row_weight),
                      static_cast<T>(column_weight));
  });
}

std::tuple<at::Tensor, at::Tensor> LseCpu(const at::Tensor& logits) {
  TORCH_CHECK(logits.dim() == 2 && logits.is_contiguous(), "contrastive_lse: a contiguous matrix");
  const auto options = at::dtype(at::kDouble);
  at::Tensor rows = at::empty({logits.size(0)}, options);
  at::Tensor columns = at::empty({logits.size(1)}, options);
  if (logits.scalar_type() == at::kDouble)
    LseKernel<double>(logits, rows.data_ptr<double>(), columns.data_ptr<double>());
  else
    LseKernel<float>(logits, rows.data_ptr<double>(), columns.data_ptr<double>());
  return {rows, columns};
}

at::Tensor& CoefficientsCpu(at::Tensor& logits, const at::Tensor& r, const at::Tensor& c,
                            double row_weight, double column_weight) {
  TORCH_CHECK(logits.dim() == 2 && logits.is_contiguous(),
              "contrastive_coefficients: a contiguous matrix");
  const at::Tensor rows = r.contiguous(), columns = c.contiguous();
  const auto kernel = logits.scalar_type() == at::kDouble ? &CoefficientsKernel<double>
                                                          : &CoefficientsKernel<float>;
  kernel(logits, rows.const_data_ptr<double>(), columns.const_data_ptr<double>(), row_weight,
         column_weight);
  return logits;
}

template <typename T>
SigmoidSums SigmoidKernel(const at::Tensor& logits, double bias) {
  std::vector<SigmoidSums> sums((logits.size(0) + kStrip - 1) / kStrip);
  ForStrips(logits.size(0), [&](std::int64_t s, std::int64_t begin, std::int64_t end) {
    sums[s] = SigmoidTerms(Strip<T>(logits, begin, end), static_cast<T>(bias));
  });
  SigmoidSums total;
  for (const SigmoidSums& part : sums) {
    total.loss += part.loss;
    total.sigmoid += part.sigmoid;
  }
  return total;
}

at::Tensor SigmoidCpu(at::Tensor& logits, double bias) {
  TORCH_CHECK(logits.dim() == 2 && logits.is_contiguous(), "sigmoid_terms: a contiguous matrix");
  const SigmoidSums sums = logits.scalar_type() == at::kDouble ? SigmoidKernel<double>(logits, bias)
                                                               : SigmoidKernel<float>(logits, bias);
  return at::tensor({sums.loss, sums.sigmoid}, at::kDouble);
}

// From LibTorch calls, for devices without kernels of their own.
std::tuple<at::Tensor, at::Tensor> LseComposed(const at::Tensor& logits) {
  const at::Tensor wide = logits.to(at::kDouble);
  return {wide.logsumexp({1}), wide.logsumexp({0})};
}

at::Tensor& CoefficientsComposed(at::Tensor& logits, const at::Tensor& r, const at::Tensor& c,
                                 double row_weight, double column_weight) {
  const auto type = logits.scalar_type();
  const at::Tensor of_rows = (logits - r.to(type).unsqueeze(1)).exp_().mul_(row_weight);
  return logits.sub_(c.to(type)).exp_().mul_(column_weight).add_(of_rows);
}

at::Tensor SigmoidComposed(at::Tensor& logits, double bias) {
  logits.add_(bias);
  const at::Tensor loss = at::softplus(logits).sum(at::kDouble);
  logits.sigmoid_();
  return at::stack({loss, logits.sum(at::kDouble)});
}

TORCH_LIBRARY_IMPL(vesalius, CPU, m) {
  m.impl("contrastive_lse", &LseCpu);
  m.impl("contrastive_coefficients", &CoefficientsCpu);
  m.impl("sigmoid_terms", &SigmoidCpu);
}
TORCH_LIBRARY_IMPL(vesalius, CUDA, m) {
  m.impl("contrastive_lse", &LseComposed);
  m.impl("contrastive_coefficients", &CoefficientsComposed);
  m.impl("sigmoid_terms", &SigmoidComposed);
}

}  // namespace

std::pair<at::Tensor, at::Tensor> ContrastiveLse(const at::Tensor& logits) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("vesalius::contrastive_lse", "")
                             .typed<std::tuple<at::Tensor, at::Tensor>(const at::Tensor&)>();
  auto [rows, columns] = op.call(logits);
  return {rows, columns};
}

void ContrastiveCoefficients(const at::Tensor& logits, const at::Tensor& r, const at::Tensor& c,
                             double row_weight, double column_weight) {
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("vesalius::contrastive_coefficients", "")
          .typed<at::Tensor&(at::Tensor&, const at::Tensor&, const at::Tensor&, double, double)>();
  at::Tensor in_place = logits;
  op.call(in_place, r, c, row_weight, column_weight);
}

at::Tensor SigmoidTerms(const at::Tensor& logits, double bias) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("vesalius::sigmoid_terms", "")
                             .typed<at::Tensor(at::Tensor&, double)>();
  at::Tensor in_place = logits;
  return op.call(in_place, bias);
}

}  // namespace vesalius::ops
