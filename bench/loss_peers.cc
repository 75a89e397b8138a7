#include "bench/loss_peers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "bench/loss_peer_sweep.h"

namespace vesalius::bench {
namespace {

using ops::Tile;

constexpr std::int64_t kTile = 512, kStrip = 64;

// Tiles of scale * x y^T, in one buffer.
class Tiles {
 public:
  Tiles(const at::Tensor& x, const at::Tensor& y, double scale)
      : x_(x), y_(y), scale_(scale), tile_(at::empty({kTile, kTile}, x.options())) {}

  // body(tile, row, column) for each, with logits in the tile.
  template <typename Body>
  void ForEach(const Body& body) {
    for (std::int64_t column = 0; column < y_.size(0); column += kTile)
      for (std::int64_t row = 0; row < x_.size(0); row += kTile) {
        at::addmm_out(tile_, tile_, x_.narrow(0, row, kTile), y_.narrow(0, column, kTile).t(), 0,
                      scale_);
        body(tile_, row, column);
      }
  }

 private:
  at::Tensor x_, y_;
  double scale_;
  at::Tensor tile_;
};

// body(strip, its first row in the tile, number of the strip), on all threads.
template <typename Body>
void ForStrips(const at::Tensor& tile, const Body& body) {
  at::parallel_for(0, kTile / kStrip, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = begin; s < end; ++s)
      body(Tile<float>{tile.data_ptr<float>() + s * kStrip * kTile, kStrip, kTile}, s * kStrip, s);
  });
}

void AddTo(at::Tensor out, std::int64_t begin, const at::Tensor& a, const at::Tensor& b) {
  at::Tensor part = out.narrow(0, begin, kTile);
  at::addmm_out(part, part, a, b);
}

double Diagonal(const at::Tensor& x, const at::Tensor& y, double scale) {
  return (x * y).sum(at::kDouble).item<double>() * scale;
}

// One direction of Inf-CL: adds to dx and dy, returns sum of log-sum-exp of the rows.
double InfClDirection(const at::Tensor& x, const at::Tensor& y, double scale, const at::Tensor& dx,
                      const at::Tensor& dy) {
  const std::int64_t b = x.size(0);
  const float weight = 0.5F / static_cast<float>(b);
  std::vector<float> largest(b, -std::numeric_limits<float>::infinity()), lse(b, 0);
  Tiles tiles(x, y, scale);
  tiles.ForEach([&](const at::Tensor& tile, std::int64_t row, std::int64_t) {
    ForStrips(tile, [&](const Tile<float>& strip, std::int64_t first, std::int64_t) {
      OnlineRows(strip, largest.data() + row + first, lse.data() + row + first);
    });
  });
  double sum = 0;
  for (std::int64_t i = 0; i < b; ++i) sum += lse[i] = largest[i] + std::log(lse[i]);
  for (const bool of_rows : {true, false})
    tiles.ForEach([&](const at::Tensor& tile, std::int64_t row, std::int64_t column) {
      ForStrips(tile, [&](const Tile<float>& strip, std::int64_t first, std::int64_t) {
        RowCoefficients(strip, lse.data() + row + first, weight);
      });
      if (row == column) tile.diagonal().sub_(weight);
      if (of_rows)
        AddTo(dx, row, tile, y.narrow(0, column, kTile));
      else
        AddTo(dy, column, tile.t(), x.narrow(0, row, kTile));
    });
  return sum;
}

// The fixed-maximum sweep of memeff; `together`: both outputs from one recomputation.
ContrastiveGradient Memeff(const at::Tensor& x, const at::Tensor& y, double scale, bool together) {
  const std::int64_t b = x.size(0), strips = kTile / kStrip;
  const auto fixed = static_cast<float>(scale), weight = 0.5F / static_cast<float>(b);
  std::vector<float> rows(b, 0), columns(b, 0), a(b), c(b);
  Tiles tiles(x, y, scale);
  tiles.ForEach([&](const at::Tensor& tile, std::int64_t row, std::int64_t column) {
    std::vector<float> sums(kTile), column_sums(strips * kTile, 0);
    ForStrips(tile, [&](const Tile<float>& strip, std::int64_t first, std::int64_t s) {
      ops::ExpSums(strip, fixed, sums.data() + first, column_sums.data() + s * kTile);
    });
    for (std::int64_t k = 0; k < kTile; ++k) {
      rows[row + k] += sums[k];
      for (std::int64_t s = 0; s < strips; ++s) columns[column + k] += column_sums[s * kTile + k];
    }
  });
  double sum = 2 * scale * static_cast<double>(b);
  for (std::int64_t i = 0; i < b; ++i) {
    sum += std::log(rows[i]) + std::log(columns[i]);
    a[i] = weight / rows[i];
    c[i] = weight / columns[i];
  }
  ContrastiveGradient out{weight * (sum - 2 * Diagonal(x, y, scale)), at::zeros_like(x),
                          at::zeros_like(y)};
  for (int pass = 0; pass < (together ? 1 : 2); ++pass)
    tiles.ForEach([&](const at::Tensor& tile, std::int64_t row, std::int64_t column) {
      ForStrips(tile, [&](const Tile<float>& strip, std::int64_t first, std::int64_t) {
        ops::Coefficients(strip, fixed, a.data() + row + first, c.data() + column);
      });
      if (row == column) tile.diagonal().sub_(2 * weight);
      if (pass == 0) AddTo(out.dx, row, tile, y.narrow(0, column, kTile));
      if (pass == 1 || together) AddTo(out.dy, column, tile.t(), x.narrow(0, row, kTile));
    });
  out.dx.mul_(scale);
  out.dy.mul_(scale);
  return out;
}

}  // namespace

ContrastiveGradient InfCl(const at::Tensor& x, const at::Tensor& y, double scale) {
  ContrastiveGradient out{0, at::zeros_like(x), at::zeros_like(y)};
  const double sum =
      InfClDirection(x, y, scale, out.dx, out.dy) + InfClDirection(y, x, scale, out.dy, out.dx);
  out.loss = (sum - 2 * Diagonal(x, y, scale)) / (2.0 * static_cast<double>(x.size(0)));
  out.dx.mul_(scale);
  out.dy.mul_(scale);
  return out;
}

ContrastiveGradient MemeffSingle(const at::Tensor& x, const at::Tensor& y, double scale) {
  return Memeff(x, y, scale, false);
}

ContrastiveGradient MemeffDistributed(const at::Tensor& x, const at::Tensor& y, double scale) {
  return Memeff(x, y, scale, true);
}

double GemmSeconds(const at::Tensor& x, const at::Tensor& y, int count) {
  const auto start = std::chrono::steady_clock::now();
  Tiles tiles(x, y, 1);
  for (int k = 0; k < count; ++k)
    tiles.ForEach([](const at::Tensor&, std::int64_t, std::int64_t) {});
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace vesalius::bench
