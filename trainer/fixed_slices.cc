#include "trainer/fixed_slices.h"

#include <torch/csrc/autograd/autograd.h>

#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/lap.h"
#include "dist/gather.h"
#include "dist/slice_sum.h"
#include "trainer/backward.h"

namespace vesalius::trainer {
namespace {

using model::BatchTensors;
using model::Features;
using model::NamedLoss;

// Texts of a slice are numbered from `first` on in the whole batch.
at::Tensor Renumbered(const at::Tensor& region_text, std::int64_t first) {
  return at::where(region_text.ge(0), region_text + static_cast<int>(first), region_text);
}

// Gradients of parameters, zero where undefined, one behind the other; then for each parameter 1
// where it has one, so that a sum tells of all who added to it.
at::Tensor Flat(const std::vector<at::Tensor>& parts, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> flat;
  std::vector<double> took_part;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    flat.push_back(parts[i].defined()
                       ? parts[i].reshape({-1})
                       : at::zeros({parameters[i].numel()}, parameters[i].options()));
    took_part.push_back(parts[i].defined() ? 1 : 0);
  }
  flat.push_back(at::tensor(took_part, parameters[0].options()));
  return at::cat(flat);
}

using Counts = std::vector<std::int64_t>;  // rows by rank

std::int64_t FirstOf(const dist::Communicator& comm, const Counts& counts) {
  return std::accumulate(counts.begin(), counts.begin() + comm.rank(), std::int64_t{0});
}

// Rows of the slices of all ranks.
at::Tensor GatherSlices(dist::Communicator& comm, const std::string& name,
                        const std::vector<at::Tensor>& own, const Counts& counts) {
  const at::Tensor rows = at::cat(own);
  const at::ScalarType type = rows.scalar_type(), sent = type == at::kChar ? at::kByte : type;
  return dist::GatherRowsDetached(comm, name, rows.view(sent), counts).view(type);
}

// Tensors with as many rows each, side by side: [rows, bytes of a row].
at::Tensor AsBytes(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> bytes;
  for (const at::Tensor& rows : tensors)
    bytes.push_back(
        (rows.dim() == 1 ? rows.unsqueeze(1) : rows.flatten(1)).contiguous().view(at::kByte));
  return at::cat(bytes, 1);
}

// What the losses read of a batch but its features; all that images have in one collective.
BatchTensors GatherLabels(dist::Communicator& comm, std::span<const BatchTensors> own,
                          const Counts& images, const Counts& texts) {
  constexpr at::Tensor BatchTensors::*kOfImages[] = {
      &BatchTensors::boxes,           &BatchTensors::box_valid,    &BatchTensors::region_labels,
      &BatchTensors::region_abnormal, &BatchTensors::image_labels, &BatchTensors::region_truth,
      &BatchTensors::report_hash,     &BatchTensors::region_text};
  std::int64_t first = FirstOf(comm, texts);
  std::vector<at::Tensor> bytes, signatures;
  for (const BatchTensors& slice : own) {
    std::vector<at::Tensor> fields;
    for (const auto field : kOfImages)
      fields.push_back(field == &BatchTensors::region_text ? Renumbered(slice.region_text, first)
                                                           : slice.*field);
    bytes.push_back(AsBytes(fields));
    signatures.push_back(slice.signatures);
    first += slice.signatures.size(0);
  }
  const at::Tensor rows = GatherSlices(comm, "labels", bytes, images);
  BatchTensors whole;
  std::int64_t at = 0;
  for (const auto field : kOfImages) {
    const at::Tensor& like = own[0].*field;
    std::vector<std::int64_t> shape = like.sizes().vec();
    const std::int64_t width = AsBytes({like}).size(1);
    shape[0] = rows.size(0);
    whole.*field = rows.slice(1, at, at + width)
                       .clone(at::MemoryFormat::Contiguous)
                       .view(like.scalar_type())
                       .view(shape);
    at += width;
  }
  whole.signatures = GatherSlices(comm, "signatures", signatures, texts);
  // The losses ask these for their rows only.
  whole.image = at::empty({rows.size(0), 0}, own[0].image.options());
  whole.texts = at::empty({whole.signatures.size(0), 0}, own[0].texts.options());
  return whole;
}

}  // namespace

FixedSlices::FixedSlices(model::Recipe& recipe, const std::vector<model::ParameterInfo>& parameters,
                         const TrainerConfig& config, dist::Communicator& comm)
    : recipe_(recipe),
      parameters_(parameters),
      config_(config),
      comm_(comm),
      alone_(comm.Split("slices.alone", comm.rank())) {}

// Rows of every kind are counted first, in one collective.
FixedSlices::Whole FixedSlices::Gather(std::span<const BatchTensors> own,
                                       std::span<const Features> encoded) {
  constexpr std::size_t kImages = 0, kTexts = 1, kFeatures = 2;
  std::vector<std::int64_t> mine(kFeatures + encoded[0].size(), 0);
  for (std::size_t s = 0; s < own.size(); ++s) {
    mine[kImages] += own[s].boxes.size(0);
    mine[kTexts] += own[s].signatures.size(0);
    std::size_t next = kFeatures;
    for (const auto& [name, rows] : encoded[s]) mine[next++] += rows.size(0);
  }
  const std::vector<Counts> counts = dist::GatherCounts(comm_, "rows of slices", mine);

  Whole whole;
  std::size_t next = kFeatures;
  for (const auto& [name, rows] : encoded[0]) {
    std::vector<at::Tensor> of_slices;
    for (const Features& slice : encoded) of_slices.push_back(slice.at(name).detach());
    whole.first[name] = FirstOf(comm_, counts[next]);
    whole.features[name] =
        GatherSlices(comm_, name, of_slices, counts[next++]).requires_grad_(true);
  }
  whole.labels = GatherLabels(comm_, own, counts[kImages], counts[kTexts]);
  return whole;
}

// Of the whole batch. Leaves the gradients of the features with them, and those of the parameters
// that the losses use themselves in `gradients`.
std::vector<NamedLoss> FixedSlices::Loss(Whole* whole, const std::vector<at::Tensor>& trained,
                                         std::vector<at::Tensor>* gradients) {
  std::vector<at::Tensor> inputs = trained;
  for (const auto& [name, rows] : whole->features) inputs.push_back(rows);
  std::vector<NamedLoss> losses = recipe_.Loss(whole->features, whole->labels, *alone_);
  *gradients = torch::autograd::grad({WeightedSum(losses)}, inputs, {}, std::nullopt,
                                     /*create_graph=*/false, /*allow_unused=*/true);
  std::size_t next = trained.size();
  for (const auto& [name, rows] : whole->features) rows.mutable_grad() = (*gradients)[next++];
  gradients->resize(trained.size());
  return losses;
}

// Carries the gradients of the gathered features back through each slice. Flat.
at::Tensor FixedSlices::SumGradients(std::vector<Features> encoded, const Whole& whole,
                                     const std::vector<at::Tensor>& trained) {
  std::vector<at::Tensor> by_slice;
  std::map<std::string, std::int64_t> first = whole.first;  // of the slice
  for (Features& features : encoded) {
    std::vector<at::Tensor> outputs, gradients;
    for (const auto& [name, rows] : features) {
      const std::int64_t begin = first[name];
      first[name] += rows.size(0);
      const at::Tensor& gradient = whole.features.at(name).grad();
      if (!gradient.defined() || !rows.requires_grad()) continue;
      outputs.push_back(rows);
      gradients.push_back(gradient.slice(0, begin, first[name]).clone());
    }
    std::vector<at::Tensor> parts(trained.size());
    if (!outputs.empty())
      parts = torch::autograd::grad(outputs, trained, gradients, std::nullopt,
                                    /*create_graph=*/false, /*allow_unused=*/true);
    by_slice.push_back(Flat(parts, trained));
    features.clear();  // frees the slice's graph
  }
  Lap watch;
  at::Tensor sum = dist::SumSlices(comm_, std::move(by_slice), static_cast<int>(config_.slices));
  add_s_ += watch();
  return sum;
}

std::vector<NamedLoss> FixedSlices::ForwardBackward(std::int64_t step, bool audit,
                                                    std::span<const BatchTensors> padded,
                                                    std::vector<at::Tensor>* gradients,
                                                    PhaseClock& clock) {
  const auto slices = static_cast<int>(config_.slices);
  const dist::SliceRange mine = dist::SlicesOf(comm_.rank(), comm_.size(), slices);
  Invariant(static_cast<int>(padded.size()) == mine.size(), "rank ", comm_.rank(), " was given ",
            padded.size(), " slices instead of ", mine.size());
  Lap all, lap;
  std::vector<BatchTensors> own;
  std::vector<Features> encoded;
  for (std::size_t s = 0; s < padded.size(); ++s) {
    const BatchTensors& slice = padded[s];
    own.push_back(slice.Slice(0, slice.image.size(0) - slice.padding, 0, slice.texts.size(0)));
    recipe_.BeginStep(static_cast<std::uint64_t>(step * slices + mine.begin) + s, audit);
    encoded.push_back(Encode(recipe_, own[s], config_.bfloat16));
  }
  clock.Mark("forward");
  lap();

  Whole whole = Gather(own, encoded);
  clock.Mark("gather");
  gather_s_ += lap();

  std::vector<at::Tensor> trained, of_loss;
  for (const model::ParameterInfo& parameter : parameters_)
    if (parameter.tensor.requires_grad()) trained.push_back(parameter.tensor);
  std::vector<NamedLoss> losses = Loss(&whole, trained, &of_loss);
  clock.Mark("loss");
  loss_s_ += lap();

  at::Tensor sum = SumGradients(std::move(encoded), whole, trained);
  sum += Flat(of_loss, trained);
  const at::Tensor took_part = sum.slice(0, sum.numel() - std::ssize(trained)).to(at::kCPU);
  gradients->assign(parameters_.size(), {});
  std::int64_t at = 0, i = 0;
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    if (!parameters_[p].tensor.requires_grad()) continue;
    const std::int64_t end = at + parameters_[p].tensor.numel();
    if (took_part[i++].item<double>() > 0) (*gradients)[p] = sum.slice(0, at, end);
    at = end;
  }
  clock.Mark("backward");
  all_s_ += all();
  if (comm_.rank() > 0)
    for (NamedLoss& loss : losses) loss.value = at::zeros_like(loss.value);
  return losses;
}

std::string FixedSlices::Cost() const {
  const auto share = [&](double seconds) { return Fixed(100 * seconds / all_s_, 1); };
  const double repeated = loss_s_ * (comm_.size() - 1) / comm_.size();
  return StrCat("trainer.slices = ", config_.slices,
                " took of forward and backward: ", share(gather_s_), " % to gather features, ",
                share(repeated), " % for losses that every rank repeats, ", share(add_s_),
                " % to add gradients");
}

}  // namespace vesalius::trainer
