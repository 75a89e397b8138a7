#include "dist/ring_audit.h"

#include <ATen/ATen.h>

#include <limits>

namespace vesalius::dist {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kChunk = 512;  // texts taken to float64 at a time

}  // namespace

RingAudit::RingAudit(const at::Tensor& x, double scale, std::int64_t rows) : scale_(scale) {
  const std::int64_t count = std::min(rows, x.size(0));
  if (count == 0) return;
  rows_ = at::arange(count, at::kLong).mul(x.size(0)).floor_divide(count);
  x_ = x.index_select(0, rows_.to(x.device())).to(at::kDouble);
  lse_ = at::full({count}, -kInfinity, x_.options());
}

void RingAudit::Add(const at::Tensor& texts, std::int64_t column, const Positives& positives) {
  if (!rows_.defined()) return;
  for (std::int64_t begin = 0; begin < texts.size(0); begin += kChunk) {
    const std::int64_t count = std::min(kChunk, texts.size(0) - begin), first = column + begin;
    const at::Tensor wide = texts.narrow(0, begin, count).to(at::kDouble);
    const at::Tensor logits = at::matmul(x_, wide.t()).mul_(scale_);
    for (std::int64_t k = 0; k < rows_.size(0); ++k) {
      const auto row = rows_[k].item<std::int64_t>();
      const TilePairs pairs = positives.At(row, row + 1, first, first + count);
      if (pairs.ignored.defined()) logits[k].index_fill_(0, pairs.ignored, -kInfinity);
    }
    lse_ = at::logaddexp(lse_, logits.logsumexp({1}));
  }
}

double RingAudit::Finish(Communicator& comm, const std::string& name, const at::Tensor& lse) const {
  at::Tensor mine = at::zeros({1}, lse.options());
  if (rows_.defined()) {
    const at::Tensor ours = lse.index_select(0, rows_.to(lse.device()));
    mine = at::where(ours.eq(lse_), at::zeros_like(ours), (ours - lse_).abs()).max().view({1});
  }
  at::Tensor all = at::empty({comm.size()}, mine.options());
  comm.AllGather(name, mine.const_data_ptr(), all.mutable_data_ptr(),
                 std::vector<std::int64_t>(comm.size(), 1), DType::kFloat64)
      .Wait();
  return all.max().item<double>();
}

}  // namespace vesalius::dist
