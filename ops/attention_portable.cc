// The attention kernel in plain C++, and the choice between the two.
#include <array>

#include "ops/attention_unit.h"

namespace vesalius::ops {
namespace {

struct Portable {
  using V = std::array<float, 8>;
  template <typename F>
  static V Each(const F& f) {
    V out;
    for (int i = 0; i < 8; ++i) out[i] = f(i);
    return out;
  }
  static V Zero() { return V{}; }
  static V Set(float x) {
    return Each([&](int) { return x; });
  }
  static V Load(const float* p) {
    return Each([&](int i) { return p[i]; });
  }
  static void Store(float* p, const V& x) { std::copy(x.begin(), x.end(), p); }
  static V Add(const V& a, const V& b) {
    return Each([&](int i) { return a[i] + b[i]; });
  }
  static V Sub(const V& a, const V& b) {
    return Each([&](int i) { return a[i] - b[i]; });
  }
  static V Mul(const V& a, const V& b) {
    return Each([&](int i) { return a[i] * b[i]; });
  }
  static V Max(const V& a, const V& b) {
    return Each([&](int i) { return std::max(a[i], b[i]); });
  }
  static V Fma(const V& a, const V& b, const V& c) {
    return Each([&](int i) { return a[i] * b[i] + c[i]; });
  }
  static V Exp(const V& x) {
    return Each([&](int i) { return std::exp(x[i]); });
  }
};

}  // namespace

const AttentionKernels kAttentionPortable = {&AttentionForwardUnits<Portable>,
                                             &AttentionBackwardUnits<Portable>};

bool HasAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace vesalius::ops
