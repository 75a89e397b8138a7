#include "model/dropout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "base/hash.h"

namespace vesalius::model {

Dropout Dropout::Of(const at::Tensor& rows) const {
  return rate_ > 0 ? Dropout(rate_, stream_, samples_.index_select(0, rows.cpu())) : *this;
}

at::Tensor Dropout::Apply(const at::Tensor& x, std::uint64_t place) const {
  if (rate_ <= 0) return x;
  const std::int64_t n = x.size(0), tokens = x.size(1), width = x.size(2);
  const at::Tensor mask = at::empty({n, tokens, width}, at::kFloat);
  float* out = mask.data_ptr<float>();
  const std::int64_t* samples = samples_.const_data_ptr<std::int64_t>();
  const auto drop_below = static_cast<std::uint32_t>(rate_ * 65536);
  const auto keep = static_cast<float>(65536.0 / (65536.0 - drop_below));
  at::parallel_for(0, n * tokens, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin; at < end; ++at) {
      const auto sample = static_cast<std::uint64_t>(samples[at / tokens]);
      const auto token = static_cast<std::uint64_t>(at % tokens);
      const std::uint64_t key = Mix64(Mix64(Mix64(stream_ ^ place) + sample) + token);
      for (std::int64_t c = 0; c < width; c += 4) {  // 16 bits each
        std::uint64_t bits = Mix64(key + static_cast<std::uint64_t>(c));
        for (std::int64_t k = c; k < std::min(c + 4, width); ++k, bits >>= 16)
          out[at * width + k] = (bits & 0xffff) < drop_below ? 0.0F : keep;
      }
    }
  });
  return x * mask.to(x.options().requires_grad(false));
}

}  // namespace vesalius::model
