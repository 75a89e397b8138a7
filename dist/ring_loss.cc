#include "dist/ring_loss.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/error.h"
#include "dist/ring_audit.h"
#include "dist/ring_walk.h"
#include "dist/tensor.h"
#include "ops/contrastive_tile.h"

namespace vesalius::dist {
namespace {

// A tile: large enough for matrix products at full speed and few meetings of the threads, small
// enough for its memory not to count.
constexpr std::int64_t kTileRows = 1024, kTileColumns = 1024;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One line's figures, float64: log-sum-exp, sum and number of its positive logits.
struct Lines {
  Lines(std::int64_t count, at::Device device)
      : lse(at::full({count}, -kInfinity, at::dtype(at::kDouble).device(device))),
        positive(at::zeros_like(lse)),
        number(at::zeros_like(lse)) {}
  at::Tensor lse, positive, number;
};

// What lives from the forward to the backward of one loss.
class Ring : public torch::CustomClassHolder {
 public:
  Ring(Communicator& comm, const std::string& name, const at::Tensor& x, const at::Tensor& y,
       const at::Tensor& scale, const at::Tensor& bias, const std::vector<std::int64_t>& columns,
       std::shared_ptr<const Positives> positives, const RingOptions& options, bool with_gradient);

  double loss = 0, audit_error = 0;
  void Forward();
  // [dx, dy, dscale, dbias] for an upstream gradient.
  torch::autograd::variable_list Backward(const at::Tensor& upstream);

 private:
  template <typename Body>
  void ForTiles(int owner, std::int64_t begin, std::int64_t end, const Body& body);
  at::Tensor Logits(std::int64_t row, std::int64_t rows, const at::Tensor& text,
                    std::int64_t column, bool keep);
  void AddProducts(const at::Tensor& tile, std::int64_t row, const at::Tensor& text,
                   const at::Tensor& gradient);
  void ForwardInfoNce();
  void CombineColumns();
  void ForwardSigLip();
  void BackwardTile(std::int64_t row, std::int64_t rows, std::int64_t column,
                    const at::Tensor& text, const at::Tensor& gradient);
  at::Tensor ScaleGradient() const;

  Communicator& comm_;
  std::string name_;
  at::Tensor x_;
  double scale_, bias_;
  std::vector<std::int64_t> columns_, first_;
  std::int64_t all_columns_;
  std::shared_ptr<const Positives> positives_;
  RingOptions options_;
  bool with_gradient_;
  RingWalk walk_;
  at::Tensor buffer_;
  Lines row_, column_;
  double pair_weight_;  // of SigLIP
  double row_weight_ = 0, column_weight_ = 0;
  std::map<std::pair<std::int64_t, std::int64_t>, at::Tensor> cache_;  // by column, row
  std::map<std::pair<std::int64_t, std::int64_t>, double> tops_;       // largest row lse of a tile
  std::int64_t cached_bytes_ = 0;
  at::Tensor dx_, dy_;
  double dbias_ = 0;
};

std::vector<std::int64_t> FirstOf(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> first(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), first.begin(), std::int64_t{0});
  return first;
}

Ring::Ring(Communicator& comm, const std::string& name, const at::Tensor& x, const at::Tensor& y,
           const at::Tensor& scale, const at::Tensor& bias,
           const std::vector<std::int64_t>& columns, std::shared_ptr<const Positives> positives,
           const RingOptions& options, bool with_gradient)
    : comm_(comm),
      name_(name),
      x_(x.detach().contiguous()),
      scale_(scale.item<double>()),
      bias_(bias.item<double>()),
      columns_(columns),
      first_(FirstOf(columns)),
      all_columns_(first_.back() + columns_.back()),
      positives_(std::move(positives)),
      options_(options),
      with_gradient_(with_gradient),
      walk_(comm, name, y.detach().contiguous(), columns,
            options.form == LossForm::kInfoNce && options.contrast != Contrast::kRing,
            kTileColumns),
      buffer_(at::empty({kTileRows * kTileColumns}, x.options().requires_grad(false))),
      row_(x.size(0), x.device()),
      column_(all_columns_, x.device()),
      pair_weight_(1.0 / static_cast<double>(std::max<std::int64_t>(all_columns_, 1))) {}

// body(row, rows, column over all ranks, text of the tile, position of the tile in the block)
template <typename Body>
void Ring::ForTiles(int owner, std::int64_t begin, std::int64_t end, const Body& body) {
  for (std::int64_t column = begin; column < end; column += kTileColumns)
    for (std::int64_t row = 0; row < x_.size(0); row += kTileRows)
      body(row, std::min(kTileRows, x_.size(0) - row), first_[owner] + column, column,
           std::min(kTileColumns, end - column));
}

at::Tensor Ring::Logits(std::int64_t row, std::int64_t rows, const at::Tensor& text,
                        std::int64_t column, bool keep) {
  const std::int64_t cols = text.size(0), bytes = rows * cols * x_.element_size();
  at::Tensor tile;
  if (keep && cached_bytes_ + bytes <= options_.cache_bytes) {
    tile = at::empty({rows, cols}, buffer_.options());
    cached_bytes_ += bytes;
    cache_[{column, row}] = tile;
  } else {
    tile = buffer_.narrow(0, 0, rows * cols).view({rows, cols});
  }
  at::addmm_out(tile, tile, x_.narrow(0, row, rows), text.t(), /*beta=*/0, /*alpha=*/scale_);
  return tile;
}

void Ring::AddProducts(const at::Tensor& tile, std::int64_t row, const at::Tensor& text,
                       const at::Tensor& gradient) {
  const at::Tensor x = x_.narrow(0, row, tile.size(0));
  at::Tensor dx = dx_.narrow(0, row, tile.size(0)), dy = gradient;
  at::addmm_out(dx, dx, tile, text);
  at::addmm_out(dy, dy, tile.t(), x);
}

void Ring::ForwardInfoNce() {
  const bool keep = with_gradient_ && options_.cache_bytes > 0;
  RingAudit audit;
  if (options_.audit_rows > 0) audit = RingAudit(x_, scale_, options_.audit_rows);
  walk_.Lap([&](int owner, std::int64_t begin, std::int64_t end, const at::Tensor& block,
                const at::Tensor&) {
    audit.Add(block.slice(0, begin, end), first_[owner] + begin, *positives_);
    ForTiles(owner, begin, end,
             [&](std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t local,
                 std::int64_t cols) {
               const at::Tensor tile =
                   Logits(row, rows, block.narrow(0, local, cols), column, keep);
               const at::Tensor flat = tile.view(-1);
               const TilePairs pairs = positives_->At(row, row + rows, column, column + cols);
               if (pairs.ignored.defined()) flat.index_fill_(0, pairs.ignored, -kInfinity);
               if (pairs.positive.defined()) {
                 const at::Tensor logits = flat.index_select(0, pairs.positive).to(at::kDouble);
                 const at::Tensor ones = at::ones_like(logits);
                 const at::Tensor i = pairs.positive.floor_divide(cols).add_(row);
                 const at::Tensor j = pairs.positive.remainder(cols).add_(column);
                 row_.positive.index_add_(0, i, logits);
                 row_.number.index_add_(0, i, ones);
                 column_.positive.index_add_(0, j, logits);
                 column_.number.index_add_(0, j, ones);
               }
               const auto [r, c] = ops::ContrastiveLse(tile);
               at::Tensor of_rows = row_.lse.narrow(0, row, rows);
               at::Tensor of_columns = column_.lse.narrow(0, column, cols);
               at::logaddexp_out(of_rows, of_rows, r);
               at::logaddexp_out(of_columns, of_columns, c);
               if (options_.skip_epsilon > 0) tops_[{column, row}] = r.max().item<double>();
             });
  });
  if (options_.audit_rows > 0) audit_error = audit.Finish(comm_, name_ + ".audit", row_.lse);
  CombineColumns();
}

// Every rank has figures of all columns from its own rows: they go to the column's owner, who adds
// them up in rank order, and come back as one log-sum-exp and one number of positives.
void Ring::CombineColumns() {
  const int size = comm_.size();
  const std::int64_t own = columns_[comm_.rank()];
  at::Tensor home = at::stack({column_.lse, column_.positive, column_.number}, 1);
  if (size > 1) {
    at::Tensor parts = at::empty({size, own, 3}, home.options());
    std::vector<std::int64_t> give = columns_, take(size, own * 3);
    for (std::int64_t& count : give) count *= 3;
    comm_
        .AllToAll(name_ + ".columns", home.const_data_ptr(), give, parts.mutable_data_ptr(), take,
                  DType::kFloat64)
        .Wait();
    home = at::stack(
        {parts.select(2, 0).logsumexp({0}), parts.select(2, 1).sum(0), parts.select(2, 2).sum(0)},
        1);
  }
  const at::Tensor lse = home.select(1, 0), positive = home.select(1, 1),
                   number = home.select(1, 2);
  const at::Tensor row_counts = row_.number.gt(0), column_counts = number.gt(0);
  // Of each column its log-sum-exp and positives; last of a rank's rows: its contributing rows.
  at::Tensor mine = at::empty({own + 1, 2}, home.options());
  mine.narrow(0, 0, own).copy_(at::stack({lse, number}, 1));
  mine.select(0, own).fill_(row_counts.sum());
  at::Tensor all = mine;
  if (size > 1) {
    std::vector<std::int64_t> counts(size);
    for (int r = 0; r < size; ++r) counts[r] = (columns_[r] + 1) * 2;
    all = at::empty({all_columns_ + size, 2}, home.options());
    comm_
        .AllGather(name_ + ".lse", mine.const_data_ptr(), all.mutable_data_ptr(), counts,
                   DType::kFloat64)
        .Wait();
  }
  double rows = 0;
  for (int r = 0; r < size; ++r) {
    const std::int64_t begin = first_[r] + r;
    column_.lse.narrow(0, first_[r], columns_[r])
        .copy_(all.select(1, 0).narrow(0, begin, columns_[r]));
    column_.number.narrow(0, first_[r], columns_[r])
        .copy_(all.select(1, 1).narrow(0, begin, columns_[r]));
    rows += all[begin + columns_[r]][0].item<double>();
  }
  const double contributing = column_.number.gt(0).sum().item<double>();
  row_weight_ = 0.5 / std::max(rows, 1.0);
  column_weight_ = 0.5 / std::max(contributing, 1.0);
  const auto share = [](const at::Tensor& of_lse, const at::Tensor& sum, const at::Tensor& count) {
    const at::Tensor line = of_lse - sum / count.clamp_min(1);
    return line.masked_select(count.gt(0)).sum().item<double>();
  };
  loss = row_weight_ * share(row_.lse, row_.positive, row_.number) +
         column_weight_ * share(lse, positive, number);
  row_.lse.masked_fill_(row_counts.logical_not(), kInfinity);
  column_.lse.masked_fill_(column_.number.le(0), kInfinity);
}

void Ring::ForwardSigLip() {
  const double weight = pair_weight_;
  const auto work = [&](int owner, std::int64_t begin, std::int64_t end, const at::Tensor& block,
                        const at::Tensor& gradient) {
    ForTiles(
        owner, begin, end,
        [&](std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t local,
            std::int64_t cols) {
          const at::Tensor text = block.narrow(0, local, cols);
          const at::Tensor tile = Logits(row, rows, text, column, false);
          const at::Tensor flat = tile.view(-1);
          const TilePairs pairs = positives_->At(row, row + rows, column, column + cols);
          if (pairs.ignored.defined()) flat.index_fill_(0, pairs.ignored, -kInfinity);
          // log(1 + exp(-l)) = log(1 + exp(l)) - l
          double number = 0;
          if (pairs.positive.defined()) {
            number = static_cast<double>(pairs.positive.numel());
            loss -= weight * (flat.index_select(0, pairs.positive).sum(at::kDouble).item<double>() +
                              number * bias_);
          }
          const at::Tensor sums = ops::SigmoidTerms(tile, bias_);
          loss += weight * sums[0].item<double>();
          if (!with_gradient_) return;
          if (pairs.positive.defined())
            flat.index_add_(0, pairs.positive, at::full_like(pairs.positive, -1, flat.options()));
          dbias_ += weight * (sums[1].item<double>() - number);
          AddProducts(tile, row, text, gradient.narrow(0, local, cols));
        });
  };
  if (!with_gradient_) return walk_.Lap(work);
  dx_ = at::zeros_like(x_);
  dy_ = walk_.LapWithGradient(work);
}

void Ring::Forward() {
  if (options_.form == LossForm::kSigLip)
    ForwardSigLip();
  else
    ForwardInfoNce();
  if (!with_gradient_) cache_.clear();
}

void Ring::BackwardTile(std::int64_t row, std::int64_t rows, std::int64_t column,
                        const at::Tensor& text, const at::Tensor& gradient) {
  const std::int64_t cols = text.size(0);
  const at::Tensor r = row_.lse.narrow(0, row, rows), c = column_.lse.narrow(0, column, cols);
  const TilePairs pairs = positives_->At(row, row + rows, column, column + cols);
  if (options_.skip_epsilon > 0 && !pairs.positive.defined()) {
    const double lowest = std::min(r.min().item<double>(), c.min().item<double>());
    if (tops_.at({column, row}) - lowest < std::log(options_.skip_epsilon)) return;
  }
  at::Tensor tile;
  if (const auto kept = cache_.find({column, row}); kept != cache_.end()) {
    tile = kept->second;
    cache_.erase(kept);
  } else {
    tile = Logits(row, rows, text, column, false);
    if (pairs.ignored.defined()) tile.view(-1).index_fill_(0, pairs.ignored, -kInfinity);
  }
  ops::ContrastiveCoefficients(tile, r, c, row_weight_, column_weight_);
  if (pairs.positive.defined()) {
    const at::Tensor i = pairs.positive.floor_divide(cols).add_(row);
    const at::Tensor j = pairs.positive.remainder(cols).add_(column);
    const at::Tensor target = row_.number.index_select(0, i).reciprocal_().mul_(-row_weight_) -
                              column_.number.index_select(0, j).reciprocal_().mul_(column_weight_);
    tile.view(-1).index_add_(0, pairs.positive, target.to(tile.scalar_type()));
  }
  AddProducts(tile, row, text, gradient);
}

// sum_ij G_ij x_i . y_j, from dx = G y before the scale is applied.
at::Tensor Ring::ScaleGradient() const {
  constexpr std::int64_t kRows = 128;  // their products in float64 are a fraction of a tile
  double sum = 0;
  for (std::int64_t row = 0; row < x_.size(0); row += kRows) {
    const std::int64_t rows = std::min(kRows, x_.size(0) - row);
    sum += (x_.narrow(0, row, rows) * dx_.narrow(0, row, rows)).sum(at::kDouble).item<double>();
  }
  return at::scalar_tensor(sum, x_.options());
}

torch::autograd::variable_list Ring::Backward(const at::Tensor& upstream) {
  if (options_.form == LossForm::kInfoNce) {
    dx_ = at::zeros_like(x_);
    const auto work = [&](int owner, std::int64_t begin, std::int64_t end, const at::Tensor& block,
                          const at::Tensor& gradient) {
      ForTiles(owner, begin, end,
               [&](std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t local,
                   std::int64_t cols) {
                 BackwardTile(row, rows, column, block.narrow(0, local, cols),
                              gradient.narrow(0, local, cols));
               });
    };
    dy_ = options_.contrast == Contrast::kGather ? walk_.LapAndReduce(work)
                                                 : walk_.LapWithGradient(work);
  }
  Invariant(dx_.defined(), "the backward of '", name_, "' ran twice");
  // SigLIP's coefficients are without 1 / columns until here, which saves a pass.
  const double weight =
      (options_.form == LossForm::kSigLip ? pair_weight_ : 1) * upstream.item<double>();
  const at::Tensor scale_gradient = ScaleGradient().mul_(weight);
  const double factor = scale_ * weight;
  const at::Tensor dx = std::exchange(dx_, {}).mul_(factor),
                   dy = std::exchange(dy_, {}).mul_(factor);
  return {dx, dy, scale_gradient, at::scalar_tensor(dbias_, x_.options()).mul_(upstream)};
}

class RingFunction : public torch::autograd::Function<RingFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const at::Tensor& /*y*/, const at::Tensor& /*scale*/,
                            const at::Tensor& /*bias*/, const c10::intrusive_ptr<Ring>& ring) {
    ring->Forward();
    ctx->saved_data["ring"] = c10::IValue::make_capsule(
        c10::static_intrusive_pointer_cast<torch::CustomClassHolder>(ring));
    return at::scalar_tensor(ring->loss, x.options());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grads) {
    const auto ring = c10::static_intrusive_pointer_cast<Ring>(ctx->saved_data["ring"].toCapsule());
    torch::autograd::variable_list gradients = ring->Backward(grads[0]);
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

RingResult RingLoss(Communicator& comm, const std::string& name, const at::Tensor& x,
                    const at::Tensor& y, const at::Tensor& scale, const at::Tensor& bias,
                    const std::vector<std::int64_t>& columns,
                    std::shared_ptr<const Positives> positives, const RingOptions& options) {
  Invariant(static_cast<int>(columns.size()) == comm.size() && y.size(0) == columns[comm.rank()] &&
                x.dim() == 2 && y.dim() == 2 && x.size(1) == y.size(1),
            "loss '", name, "': rows ", x.sizes(), ", columns ", y.sizes());
  // Under autocast features may come in bfloat16; logits are never taken in it.
  if (x.scalar_type() != y.scalar_type() ||
      (x.scalar_type() != at::kFloat && x.scalar_type() != at::kDouble))
    return RingLoss(comm, name, x.to(at::kFloat), y.to(at::kFloat), scale.to(at::kFloat), bias,
                    columns, std::move(positives), options);
  const at::Tensor offset = bias.defined() ? bias : at::zeros_like(scale).detach();
  const bool with_gradient =
      at::GradMode::is_enabled() &&
      (x.requires_grad() || y.requires_grad() || scale.requires_grad() || offset.requires_grad());
  const auto ring = c10::make_intrusive<Ring>(comm, name, x, y, scale, offset, columns,
                                              std::move(positives), options, with_gradient);
  const at::Tensor loss = RingFunction::apply(x, y, scale, offset, ring);
  return {loss, ring->audit_error};
}

}  // namespace vesalius::dist
