#include "trainer/adamw.h"

namespace vesalius::trainer {

double ClipScale(double norm, double clip) {
  return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
}

AdamW::AdamW(std::vector<model::ParameterInfo> parameters, const AdamWOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const auto& parameter : parameters_) {
    const at::Tensor value = parameter.tensor.detach();
    states_.push_back({at::zeros_like(value), at::zeros_like(value),
                       at::zeros({}, value.options().dtype(at::kFloat))});
  }
}

void AdamW::Step(const std::vector<bool>& touched, double lr, double scale) {
  const at::NoGradGuard no_grad;
  for (const bool decay : {true, false}) {
    std::vector<at::Tensor> values, gradients, moments1, moments2, steps;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (!touched[i] || parameters_[i].decay != decay) continue;
      values.push_back(parameters_[i].tensor);
      gradients.push_back(parameters_[i].tensor.grad());
      moments1.push_back(states_[i].moment1);
      moments2.push_back(states_[i].moment2);
      steps.push_back(states_[i].steps);
    }
    if (values.empty()) continue;
    if (scale != 1) at::_foreach_mul_(gradients, scale);
    at::_foreach_add_(steps, 1);
    at::_fused_adamw_(values, gradients, moments1, moments2, /*max_exp_avg_sqs=*/{}, steps, lr,
                      options_.beta1, options_.beta2, decay ? options_.weight_decay : 0.0,
                      options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
}

}  // namespace vesalius::trainer
