#include "model/losses.h"

#include <numeric>

#include "data/record.h"
#include "dist/gather.h"
#include "ops/box.h"
#include "ops/contrastive.h"

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

at::Tensor PairLoss(dist::Communicator& comm, const at::Tensor& image, const at::Tensor& report,
                    const at::Tensor& hash, const at::Tensor& scale,
                    const std::vector<std::int64_t>& images) {
  const at::Tensor all =
      dist::GatherRows(comm, "pair.features", at::cat({image, report}, 1), images);
  const at::Tensor all_hash = dist::GatherRowsDetached(comm, "pair.hashes", hash, images);
  const std::int64_t d = image.size(1);
  const at::Tensor same = hash.unsqueeze(1).eq(all_hash.unsqueeze(0)).to(at::kChar);
  const auto to_text =
      ops::MultiPositiveCrossEntropy(scale * at::matmul(image, all.slice(1, d).t()), same, 1);
  const auto to_image =
      ops::MultiPositiveCrossEntropy(scale * at::matmul(report, all.slice(1, 0, d).t()), same, 1);
  const std::int64_t count = std::accumulate(images.begin(), images.end(), std::int64_t{0});
  return (to_text.first + to_image.first) * (0.5 * OneOver(count));
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

at::Tensor FineLoss(dist::Communicator& comm, const FineInputs& in, const GlobalCounts& counts) {
  const int rank = comm.rank(), size = comm.size();
  std::vector<std::int64_t> feature_rows(size);
  for (int r = 0; r < size; ++r) feature_rows[r] = counts.rows[r] + counts.texts[r];
  // One gather for regions and texts together, and one each for what is known of rows and of texts.
  const at::Tensor features =
      dist::GatherRows(comm, "fine.features", at::cat({in.regions, in.texts}), feature_rows);
  const at::Tensor row_facts = dist::GatherRowsDetached(
      comm, "fine.rows",
      at::cat({in.own_text.unsqueeze(1), in.own_truth.unsqueeze(1).to(at::kLong),
               in.anatomy.unsqueeze(1).to(at::kLong), in.abnormal.unsqueeze(1).to(at::kLong),
               in.labels.to(at::kLong)},
              1),
      counts.rows);
  const at::Tensor text_facts =
      dist::GatherRowsDetached(comm, "fine.texts", in.signatures, counts.texts);

  std::vector<at::Tensor> region_parts, text_parts;
  for (int r = 0; r < size; ++r) {
    const std::int64_t begin = Before(feature_rows, r), middle = begin + counts.rows[r];
    region_parts.push_back(features.slice(0, begin, middle));
    text_parts.push_back(features.slice(0, middle, middle + counts.texts[r]));
  }
  // Distinct texts over all ranks, in sorted-hash order so that all ranks agree; each is
  // represented by its first occurrence.
  const auto [sorted, inverse] = at::_unique(text_facts.select(1, 0), true, true);
  const std::int64_t columns = sorted.size(0), texts = text_facts.size(0);
  const at::Tensor first =
      at::full({columns}, texts, inverse.options())
          .scatter_reduce(0, inverse, at::arange(texts, inverse.options()), "amin");
  const at::Tensor all_text = at::cat(text_parts).index_select(0, first);
  const at::Tensor signatures = text_facts.index_select(0, first);

  // Rows -> texts: own rows against all columns. Texts -> rows: own columns against all rows.
  const auto r2t = ops::MultiPositiveCrossEntropy(in.scale * at::matmul(in.regions, all_text.t()),
                                                  TruthMatrix(in, signatures), 1);
  FineInputs everyone = in;
  everyone.own_text = row_facts.select(1, 0);
  everyone.own_truth = row_facts.select(1, 1).to(at::kChar);
  everyone.anatomy = row_facts.select(1, 2);
  everyone.abnormal = row_facts.select(1, 3).to(at::kChar);
  everyone.labels = row_facts.slice(1, 4).to(at::kChar);
  const std::int64_t c0 = rank * columns / size, c1 = (rank + 1) * columns / size;
  const auto t2r = ops::MultiPositiveCrossEntropy(
      in.scale * at::matmul(at::cat(region_parts), all_text.slice(0, c0, c1).t()),
      TruthMatrix(everyone, signatures.slice(0, c0, c1)), 0);

  const at::Tensor contributing =
      dist::SumOverRanks(comm, "fine.positives", at::stack({r2t.second, t2r.second}).detach())
          .clamp_min(1);
  return (r2t.first / contributing[0] + t2r.first / contributing[1]) / 2;
}

}  // namespace vesalius::model
