#include "trainer/parameter_faults.h"

namespace vesalius::trainer {
namespace {

void FlipBit(const std::vector<model::ParameterInfo>& parameters) {
  const at::NoGradGuard no_grad;
  parameters[0].tensor.detach().view(at::kInt).flatten()[0].bitwise_xor_(1 << 14);
}

}  // namespace

GradientFault::GradientFault(const std::vector<model::ParameterInfo>& parameters, double factor) {
  for (const auto& parameter : parameters)
    if (parameter.tensor.requires_grad())
      hooks_.emplace_back(parameter.tensor,
                          parameter.tensor.register_hook(
                              [factor](const at::Tensor& gradient) { return gradient * factor; }));
}

GradientFault::~GradientFault() {
  for (const auto& [tensor, hook] : hooks_) tensor.remove_hook(hook);
}

std::unique_ptr<GradientFault> ApplyParameterFaults(const Faults& faults, TrainStep& step) {
  if (faults.flips()) FlipBit(step.parameters());
  if (faults.gradient_factor() == 1) return nullptr;
  return std::make_unique<GradientFault>(step.parameters(), faults.gradient_factor());
}

}  // namespace vesalius::trainer
