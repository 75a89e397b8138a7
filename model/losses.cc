#include "model/losses.h"

#include <numeric>

#include "data/record.h"
#include "dist/gather.h"
#include "ops/box.h"

namespace vesalius::model {
namespace {

double OneOver(std::int64_t count) {
  return 1.0 / static_cast<double>(std::max<std::int64_t>(count, 1));
}

std::int64_t Before(const std::vector<std::int64_t>& counts, int rank) {
  return std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0});
}

at::Tensor MaskedBce(const at::Tensor& logits, const at::Tensor& target, const at::Tensor& mask) {
  const auto type = logits.scalar_type();
  const at::Tensor term = at::binary_cross_entropy_with_logits(
      logits, target.to(type), /*weight=*/{}, /*pos_weight=*/{}, at::Reduction::None);
  return (term * mask.to(type)).sum();
}

// The truth matrix of this rank's rows against the texts of all ranks, tile by tile.
class TruthPositives : public dist::Positives {
 public:
  TruthPositives(const FineInputs& rows, at::Tensor signatures)
      : rows_(rows), signatures_(std::move(signatures)) {
    rows_.regions = rows_.texts = rows_.scale = at::Tensor();  // facts only
  }
  dist::TilePairs At(std::int64_t row0, std::int64_t row1, std::int64_t column0,
                     std::int64_t column1) const override {
    FineInputs part = rows_;
    for (at::Tensor* of_row :
         {&part.own_text, &part.own_truth, &part.anatomy, &part.abnormal, &part.labels})
      *of_row = of_row->slice(0, row0, row1);
    const at::Tensor truth = TruthMatrix(part, signatures_.slice(0, column0, column1)).flatten();
    return {truth.eq(1).nonzero().squeeze(1), truth.lt(0).nonzero().squeeze(1)};
  }

 private:
  FineInputs rows_;
  at::Tensor signatures_;
};

}  // namespace

std::int64_t GlobalCounts::all_images() const {
  return std::accumulate(images.begin(), images.end(), std::int64_t{0});
}

GlobalCounts CountGlobally(dist::Communicator& comm, at::Device device,
                           const std::array<std::int64_t, 5>& mine) {
  const at::Tensor all =
      dist::GatherRowsDetached(comm, "batch.counts", at::tensor(mine).unsqueeze(0).to(device),
                               std::vector<std::int64_t>(comm.size(), 1))
          .cpu();
  const auto column = [&all](int k) {
    const at::Tensor values = all.select(1, k).contiguous();
    return std::vector<std::int64_t>(values.const_data_ptr<std::int64_t>(),
                                     values.const_data_ptr<std::int64_t>() + values.numel());
  };
  GlobalCounts counts{column(0), column(1), column(2), 0, 0};
  counts.boxes = all.select(1, 3).sum().item<std::int64_t>();
  counts.labels = all.select(1, 4).sum().item<std::int64_t>();
  return counts;
}

BoxLoss AnatomyLoss(const at::Tensor& predicted, const at::Tensor& target, const at::Tensor& valid,
                    double l1, double giou, std::int64_t boxes) {
  const at::Tensor weight = valid.to(predicted.scalar_type()) * OneOver(boxes);
  const auto [iou, generalised] =
      ops::IouGiou(ops::CornersFromCentre(predicted), ops::CornersFromCentre(target));
  const at::Tensor distance = (predicted - target).abs().sum(-1);
  return {(weight * (l1 * distance + giou * (1 - generalised))).sum(),
          (weight * iou).sum().detach()};
}

at::Tensor PresenceLoss(const at::Tensor& logits, const at::Tensor& valid, std::int64_t images) {
  return MaskedBce(logits, valid, at::ones_like(valid)) * OneOver(images * data::kRegions);
}

at::Tensor ImageLabelLoss(const at::Tensor& logits, const at::Tensor& labels, std::int64_t count) {
  return MaskedBce(logits, labels.clamp_min(0), labels.ge(0)) * OneOver(count);
}

dist::RingResult PairLoss(dist::Communicator& comm, const at::Tensor& image,
                          const at::Tensor& report, const at::Tensor& hash, const at::Tensor& scale,
                          const at::Tensor& bias, const std::vector<std::int64_t>& images,
                          dist::KeyPositives::Extra extra, const dist::RingOptions& options) {
  return dist::RingLoss(
      comm, "pair", image, report, scale, bias, images,
      std::make_shared<dist::KeyPositives>(comm, "pair.keys", hash, images, extra), options);
}

at::Tensor TruthMatrix(const FineInputs& rows, const at::Tensor& signatures) {
  const at::Tensor hash = signatures.select(1, 0), region = signatures.select(1, 1),
                   finding = signatures.select(1, 2), polarity = signatures.select(1, 3);
  const std::int64_t row_count = rows.anatomy.size(0), findings = rows.labels.size(1);
  // What each row's labels say of each text's finding; column F stands for "abnormal", F+1 for
  // "unknown".
  const at::Tensor table = at::cat({rows.labels, rows.abnormal.unsqueeze(1),
                                    at::full({row_count, 1}, -1, rows.labels.options())},
                                   1);
  const at::Tensor column = at::where(finding.ge(0), finding, findings - 1 - finding);
  const at::Tensor label = table.index_select(1, column);
  const at::Tensor entailed =
      at::where(label.lt(0), label, label.eq(polarity.unsqueeze(0)).to(at::kChar));

  const at::Tensor anatomy = rows.anatomy.to(at::kLong);
  const at::Tensor same = anatomy.unsqueeze(1).eq(region.unsqueeze(0));
  const at::Tensor related = rows.family.index_select(0, anatomy).index_select(1, region);
  const at::Tensor zero = at::zeros({}, entailed.options()), ignore = at::full_like(zero, -1);
  const at::Tensor truth =
      at::where(same, entailed, at::where(related.logical_and(entailed.ne(0)), ignore, zero));
  const at::Tensor own = rows.own_text.unsqueeze(1).eq(hash.unsqueeze(0));
  return at::where(own, rows.own_truth.unsqueeze(1), truth);
}

at::Tensor FineLoss(dist::Communicator& comm, const FineInputs& in, const GlobalCounts& counts,
                    dist::Contrast contrast) {
  const at::Tensor text_facts =
      dist::GatherRowsDetached(comm, "fine.texts", in.signatures, counts.texts);
  // Distinct texts over all ranks; each is a column of the first rank that holds it.
  const auto [sorted, inverse] = at::_unique(text_facts.select(1, 0), true, true);
  const std::int64_t texts = text_facts.size(0);
  const at::Tensor first =
      std::get<0>(at::full({sorted.size(0)}, texts, inverse.options())
                      .scatter_reduce(0, inverse, at::arange(texts, inverse.options()), "amin")
                      .sort());
  std::vector<std::int64_t> columns;
  at::Tensor own;
  for (int r = 0; r < comm.size(); ++r) {
    const std::int64_t begin = Before(counts.texts, r), end = begin + counts.texts[r];
    const at::Tensor of_rank = first.masked_select(first.ge(begin).logical_and(first.lt(end)));
    columns.push_back(of_rank.size(0));
    if (r == comm.rank()) own = of_rank - begin;
  }
  dist::RingOptions options;
  options.contrast = contrast;
  return dist::RingLoss(
             comm, "fine", in.regions, in.texts.index_select(0, own), in.scale, {}, columns,
             std::make_shared<TruthPositives>(in, text_facts.index_select(0, first)), options)
      .loss;
}

}  // namespace vesalius::model
