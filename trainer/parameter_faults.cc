#include "trainer/parameter_faults.h"

namespace vesalius::trainer {

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

void FlipParameterBit(const std::vector<model::ParameterInfo>& parameters) {
  const at::NoGradGuard no_grad;
  parameters[0].tensor.detach().view(at::kInt).flatten()[0].bitwise_xor_(1 << 14);
}

}  // namespace vesalius::trainer
