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

// Gradients of parameters, zero where undefined, one behind the other.
at::Tensor Flat(const std::vector<at::Tensor>& parts, const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> flat;
  for (std::size_t i = 0; i < parts.size(); ++i)
    flat.push_back(parts[i].defined()
                       ? parts[i].reshape({-1})
                       : at::zeros({parameters[i].numel()}, parameters[i].options()));
  return at::cat(flat);
}

}  // namespace

FixedSlices::FixedSlices(model::Recipe& recipe, const std::vector<model::ParameterInfo>& parameters,
                         const TrainerConfig& config, dist::Communicator& comm)
    : recipe_(recipe),
      parameters_(parameters),
      config_(config),
      comm_(comm),
      alone_(comm.Split("slices.alone", comm.rank())) {}

FixedSlices::Gathered FixedSlices::Gather(const std::string& name,
                                          const std::vector<at::Tensor>& own) {
  const at::Tensor rows = at::cat(own);
  const std::vector<std::int64_t> counts = dist::GatherCounts(comm_, name, rows.size(0));
  const at::ScalarType type = rows.scalar_type(), sent = type == at::kChar ? at::kByte : type;
  return {dist::GatherRowsDetached(comm_, name, rows.view(sent), counts).view(type),
          std::accumulate(counts.begin(), counts.begin() + comm_.rank(), std::int64_t{0})};
}

BatchTensors FixedSlices::GatherLabels(std::span<const BatchTensors> own) {
  const auto gather = [&](const char* name, at::Tensor BatchTensors::*field) {
    std::vector<at::Tensor> of_slices;
    for (const BatchTensors& slice : own) of_slices.push_back(slice.*field);
    return Gather(name, of_slices);
  };
  BatchTensors whole;
  whole.boxes = gather("boxes", &BatchTensors::boxes).rows;
  whole.box_valid = gather("box_valid", &BatchTensors::box_valid).rows;
  whole.region_labels = gather("region_labels", &BatchTensors::region_labels).rows;
  whole.region_abnormal = gather("region_abnormal", &BatchTensors::region_abnormal).rows;
  whole.image_labels = gather("image_labels", &BatchTensors::image_labels).rows;
  whole.region_truth = gather("region_truth", &BatchTensors::region_truth).rows;
  whole.report_hash = gather("report_hash", &BatchTensors::report_hash).rows;
  const Gathered signatures = gather("signatures", &BatchTensors::signatures);
  whole.signatures = signatures.rows;
  std::int64_t first = signatures.first;
  std::vector<at::Tensor> region_text;
  for (const BatchTensors& slice : own) {
    region_text.push_back(Renumbered(slice.region_text, first));
    first += slice.signatures.size(0);
  }
  whole.region_text = Gather("region_text", region_text).rows;
  // The losses ask these for their rows only.
  whole.image = at::empty({whole.boxes.size(0), 0}, own[0].image.options());
  whole.texts = at::empty({whole.signatures.size(0), 0}, own[0].texts.options());
  return whole;
}

// Carries the gradients of the gathered features (`whole[...].rows.grad()`) back through each
// slice.
at::Tensor FixedSlices::SumGradients(std::vector<Features> encoded,
                                     const std::map<std::string, Gathered>& whole,
                                     const std::vector<at::Tensor>& trained,
                                     std::vector<bool>* took_part) {
  std::vector<at::Tensor> by_slice;
  std::map<std::string, std::int64_t> done;
  for (Features& features : encoded) {
    std::vector<at::Tensor> outputs, gradients;
    for (const auto& [name, rows] : features) {
      const Gathered& gathered = whole.at(name);
      const std::int64_t begin = gathered.first + done[name];
      done[name] += rows.size(0);
      const at::Tensor& gradient = gathered.rows.grad();
      if (!gradient.defined() || !rows.requires_grad()) continue;
      outputs.push_back(rows);
      gradients.push_back(gradient.slice(0, begin, begin + rows.size(0)).clone());
    }
    std::vector<at::Tensor> parts(trained.size());
    if (!outputs.empty())
      parts = torch::autograd::grad(outputs, trained, gradients, std::nullopt,
                                    /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (parts[i].defined()) (*took_part)[i] = true;
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

  std::map<std::string, Gathered> whole;
  Features features;
  for (const auto& [name, rows] : encoded[0]) {
    std::vector<at::Tensor> of_slices;
    for (const Features& slice : encoded) of_slices.push_back(slice.at(name).detach());
    whole[name] = Gather(name, of_slices);
    features[name] = whole[name].rows.requires_grad_(true);
  }
  const BatchTensors labels = GatherLabels(own);
  clock.Mark("gather");
  gather_s_ += lap();

  std::vector<at::Tensor> trained, inputs;
  for (const model::ParameterInfo& parameter : parameters_)
    if (parameter.tensor.requires_grad()) trained.push_back(parameter.tensor);
  inputs = trained;
  for (const auto& [name, rows] : features) inputs.push_back(rows);
  std::vector<NamedLoss> losses = recipe_.Loss(features, labels, *alone_);
  std::vector<at::Tensor> of_loss =
      torch::autograd::grad({WeightedSum(losses)}, inputs, {}, std::nullopt,
                            /*create_graph=*/false, /*allow_unused=*/true);
  std::size_t next = trained.size();
  for (const auto& [name, rows] : features) rows.mutable_grad() = of_loss[next++];
  of_loss.resize(trained.size());
  clock.Mark("loss");
  loss_s_ += lap();

  std::vector<bool> took_part;
  for (const at::Tensor& gradient : of_loss) took_part.push_back(gradient.defined());
  at::Tensor sum = SumGradients(std::move(encoded), whole, trained, &took_part);
  sum += Flat(of_loss, trained);
  gradients->assign(parameters_.size(), {});
  std::int64_t at = 0;
  std::size_t i = 0;
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    if (!parameters_[p].tensor.requires_grad()) continue;
    const std::int64_t end = at + parameters_[p].tensor.numel();
    if (took_part[i++]) (*gradients)[p] = sum.slice(0, at, end);
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
