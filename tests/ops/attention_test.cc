// The fused attention against LibTorch's in float64, values and gradients; both kernels; every
// number of threads gives the same bits.
#include "ops/attention.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "ops/attention_kernel.h"

namespace vesalius::ops {
namespace {

struct Case {
  std::int64_t n, t, heads, width;
  std::vector<std::int64_t> lengths;  // empty: no mask
};

const std::vector<Case> kCases = {
    {2, 94, 4, 16, {}},    {3, 13, 2, 32, {13, 5, 1}}, {2, 1, 3, 16, {}},
    {2, 1, 1, 64, {1, 0}}, {2, 37, 2, 64, {37, 16}},   {1, 17, 2, 8, {9}},
    {2, 33, 1, 20, {}},    {1, 130, 2, 80, {129}},     {4, 7, 2, 16, {0, 7, 3, 6}}};

at::Tensor Lengths(const Case& in) {
  return in.lengths.empty() ? at::Tensor() : at::tensor(in.lengths, at::kLong);
}

double RelativeError(const at::Tensor& value, const at::Tensor& exact) {
  return ((value.to(at::kDouble) - exact).norm() / exact.norm().clamp_min(1e-30)).item<double>();
}

TEST(AttentionTest, EqualsLibTorchInFloat64) {
  for (const Case& in : kCases) {
    const at::Tensor exact =
        at::randn({in.n, in.t, 3, in.heads, in.width}, at::kDouble).mul_(1.5).requires_grad_(true);
    const at::Tensor single = exact.detach().to(at::kFloat).requires_grad_(true);
    const at::Tensor out = Attention(exact, Lengths(in)), mine = Attention(single, Lengths(in));
    ASSERT_EQ(mine.sizes(), out.sizes());
    EXPECT_LT(RelativeError(mine, out), 1e-6) << in.t << " tokens, width " << in.width;
    const at::Tensor grad = at::randn_like(out);
    out.backward(grad);
    mine.backward(grad.to(at::kFloat));
    // With one key the scores' gradient is a difference of equal numbers: rounding alone.
    EXPECT_LT(RelativeError(single.grad(), exact.grad()), in.t == 1 ? 5e-6 : 1e-6)
        << in.t << " tokens, width " << in.width;
  }
}

TEST(AttentionTest, LargeScoresStayFinite) {
  const at::Tensor qkv = (at::randn({1, 40, 3, 2, 16}) * 60).requires_grad_(true);
  const at::Tensor out = Attention(qkv, {});
  out.sum().backward();
  EXPECT_TRUE(out.isfinite().all().item<bool>());
  EXPECT_TRUE(qkv.grad().isfinite().all().item<bool>());
  // Scores of some thousands are exact to 1e-3 or so, and two keys may be that near to each other.
  EXPECT_LT(RelativeError(out, Attention(qkv.detach().to(at::kDouble), {})), 1e-4);
}

TEST(AttentionTest, NoSequences) {
  const at::Tensor qkv = at::empty({0, 5, 3, 2, 16}).requires_grad_(true);
  const at::Tensor out = Attention(qkv, at::empty({0}, at::kLong));
  EXPECT_EQ(out.sizes(), at::IntArrayRef({0, 5, 32}));
  out.sum().backward();
  EXPECT_EQ(qkv.grad().sizes(), qkv.sizes());
}

TEST(AttentionTest, TheSameBitsAtAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> outs, grads;
  const at::Tensor values = at::randn({3, 50, 3, 4, 16});
  for (const int count : {1, 2, 4}) {
    at::set_num_threads(count);
    const at::Tensor qkv = values.clone().requires_grad_(true);
    outs.push_back(Attention(qkv, {}));
    outs.back().square().sum().backward();
    grads.push_back(qkv.grad());
  }
  at::set_num_threads(threads);
  for (int i : {1, 2}) {
    EXPECT_TRUE(at::equal(outs[i], outs[0]));
    EXPECT_TRUE(at::equal(grads[i], grads[0]));
  }
}

// Whatever the processor has, the plain kernel is tested; and the other one against it.
TEST(AttentionTest, ThePortableKernelAgrees) {
  for (const Case& in : kCases) {
    const AttentionShape shape{in.n, in.t, in.heads, in.width,
                               in.lengths.empty() ? nullptr : in.lengths.data()};
    const at::Tensor qkv = at::randn({in.n, in.t, 3, in.heads, in.width}).requires_grad_(true);
    const at::Tensor grad = at::randn({in.n, in.t, in.heads * in.width});
    const at::Tensor expected = Attention(qkv, Lengths(in));
    expected.backward(grad);
    const at::Tensor out = at::empty_like(grad), back = at::empty_like(qkv);
    const at::Tensor lse = at::empty({in.n, in.heads, in.t});
    kAttentionPortable.forward(shape, qkv.data_ptr<float>(), out.data_ptr<float>(),
                               lse.data_ptr<float>(), 0, in.n * in.heads);
    kAttentionPortable.backward(shape, qkv.data_ptr<float>(), out.data_ptr<float>(),
                                lse.data_ptr<float>(), grad.data_ptr<float>(),
                                back.data_ptr<float>(), 0, in.n * in.heads);
    EXPECT_LT(RelativeError(out, expected.detach().to(at::kDouble)), 1e-6);
    EXPECT_LT(RelativeError(back, qkv.grad().to(at::kDouble)), 2e-6);
  }
}

}  // namespace
}  // namespace vesalius::ops
