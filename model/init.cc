#include "model/init.h"

#include "base/random.h"

namespace vesalius::model {

template <typename Draw>
at::Tensor Initialiser::Fill(at::IntArrayRef shape, Draw draw) {
  at::Tensor out = at::empty(shape, at::kFloat);
  Random random(seed_, Purpose::kInit, calls_++);
  float* data = out.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < out.numel(); ++i) data[i] = static_cast<float>(draw(random));
  return out;
}

at::Tensor Initialiser::Uniform(at::IntArrayRef shape, double bound) {
  return Fill(shape, [bound](Random& random) { return random.Uniform(-bound, bound); });
}

at::Tensor Initialiser::Normal(at::IntArrayRef shape, double std) {
  return Fill(shape, [std](Random& random) { return std * random.Normal(); });
}

at::Tensor Initialiser::TruncatedNormal(at::IntArrayRef shape, double std) {
  return Fill(shape, [std](Random& random) {
    double x = random.Normal();
    while (std::abs(x) > 2) x = random.Normal();
    return std * x;
  });
}

at::Tensor Initialiser::Linear(at::IntArrayRef shape, std::int64_t fan_in) {
  return Uniform(shape, 1.0 / std::sqrt(static_cast<double>(fan_in)));
}

at::Tensor SineCosine2d(int side, int width) {
  const int quarter = width / 4;
  at::Tensor out = at::zeros({std::int64_t{side} * side, width}, at::kFloat);
  auto values = out.accessor<float, 2>();
  for (int row = 0; row < side; ++row)
    for (int column = 0; column < side; ++column)
      for (int k = 0; k < quarter; ++k) {
        const double frequency = std::pow(100.0, -static_cast<double>(k) / quarter);
        auto at = values[row * side + column];
        at[k] = static_cast<float>(std::sin(column * frequency));
        at[quarter + k] = static_cast<float>(std::cos(column * frequency));
        at[2 * quarter + k] = static_cast<float>(std::sin(row * frequency));
        at[3 * quarter + k] = static_cast<float>(std::cos(row * frequency));
      }
  return out;
}

}  // namespace vesalius::model
