#include "trainer/adamw.h"

namespace vesalius::trainer {

at::Tensor ClipScale(const at::Tensor& norm, double clip) {
  // A norm that is not finite gives a scale that is not.
  if (clip <= 0) return norm * 0 + 1;
  return (clip / (norm + 1e-6)).clamp_max(1) + norm * 0;
}

AdamW::AdamW(std::vector<model::ParameterInfo> parameters, std::vector<dist::ParameterPiece> pieces,
             const AdamWOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (dist::ParameterPiece& piece : pieces) {
    const at::Tensor zeros = at::zeros_like(piece.value);
    states_.push_back({std::move(piece), zeros, zeros.clone()});
  }
  for (const auto& parameter : parameters_)
    steps_.push_back(at::zeros({}, parameter.tensor.options().dtype(at::kFloat)));
}

void AdamW::Step(const std::vector<bool>& touched, double lr, const at::Tensor& scale) {
  const at::NoGradGuard no_grad;
  const at::Tensor finite = at::isfinite(scale);
  const at::Tensor skip = finite.logical_not().to(at::kFloat);
  // On a CPU reading is free, and most steps need no clipping.
  const bool clips = !scale.is_cpu() || scale.item<double>() != 1;
  std::vector<at::Tensor> counters;
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (touched[i]) counters.push_back(steps_[i]);
  if (!counters.empty()) at::_foreach_add_(counters, finite.to(at::kFloat));
  for (const bool decay : {true, false}) {
    std::vector<at::Tensor> values, gradients, moments1, moments2, steps;
    for (const State& state : states_) {
      const int i = state.piece.parameter;
      if (!touched[i] || parameters_[i].decay != decay) continue;
      values.push_back(state.piece.value);
      gradients.push_back(state.piece.gradient);
      moments1.push_back(state.moment1);
      moments2.push_back(state.moment2);
      steps.push_back(steps_[i]);
    }
    if (values.empty()) continue;
    if (clips) at::_foreach_mul_(gradients, scale.to(values[0].scalar_type()));
    at::_fused_adamw_(values, gradients, moments1, moments2, /*max_exp_avg_sqs=*/{}, steps, lr,
                      options_.beta1, options_.beta2, decay ? options_.weight_decay : 0.0,
                      options_.eps, /*amsgrad=*/false, /*maximize=*/false,
                      /*grad_scale=*/std::nullopt, /*found_inf=*/skip);
  }
}

void AdamW::Repartition(dist::GradExchange& exchange) {
  const at::NoGradGuard no_grad;
  if (!exchange.sharded()) {  // every parameter in one piece, as before
    for (size_t i = 0; i < states_.size(); ++i) states_[i].piece = exchange.pieces()[i];
    return;
  }
  std::vector<const State*> before(parameters_.size(), nullptr);
  for (const State& state : states_) before[state.piece.parameter] = &state;
  std::vector<const dist::ParameterPiece*> wanted(parameters_.size(), nullptr);
  for (const auto& piece : exchange.pieces()) wanted[piece.parameter] = &piece;
  std::vector<State> after;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const State* state = before[i];
    const auto move = [&](const at::Tensor State::*moment) {
      const at::Tensor whole =
          exchange.Assemble(static_cast<int>(i), state ? state->piece.begin : 0,
                            state ? state->*moment : at::Tensor());
      return wanted[i] ? whole.narrow(0, wanted[i]->begin, wanted[i]->value.numel()).clone()
                       : at::Tensor();
    };
    const at::Tensor moment1 = move(&State::moment1), moment2 = move(&State::moment2);
    if (wanted[i]) after.push_back({*wanted[i], moment1, moment2});
  }
  states_ = std::move(after);
}

}  // namespace vesalius::trainer
