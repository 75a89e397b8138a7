// trainer.precision = bfloat16: inside a scope matrix products and attention take bfloat16 operands
// (torch's autocast; Micikevicius et al., 2018), parameters and everything that sums or normalises
// stay float32. Encoders run inside, losses outside.
#pragma once

#include <ATen/autocast_mode.h>

namespace vesalius::trainer {

class AutocastScope {
 public:
  AutocastScope(bool bfloat16, at::DeviceType device) : on_(bfloat16), device_(device) {
    if (!on_) return;
    at::autocast::increment_nesting();
    at::autocast::set_autocast_dtype(device_, at::kBFloat16);
    at::autocast::set_autocast_enabled(device_, true);
  }
  ~AutocastScope() {
    if (!on_) return;
    at::autocast::set_autocast_enabled(device_, false);
    // Casts of parameters must not outlive the step, nor the mode (with or without gradients).
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  const bool on_;
  const at::DeviceType device_;
};

}  // namespace vesalius::trainer
