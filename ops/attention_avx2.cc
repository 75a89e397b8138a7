// The attention kernel with AVX2 and FMA. Compiled with flags of its own: nothing else may be
// called into from here that other files compile too.
#include "ops/attention_unit.h"
#include "ops/exp_avx2.h"

namespace vesalius::ops {
namespace {

struct Avx2 {
  using V = __m256;
  static V Zero() { return _mm256_setzero_ps(); }
  static V Set(float x) { return _mm256_set1_ps(x); }
  static V Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, V x) { _mm256_storeu_ps(p, x); }
  static V Add(V a, V b) { return _mm256_add_ps(a, b); }
  static V Sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V Mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V Max(V a, V b) { return _mm256_max_ps(a, b); }
  static V Fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V Exp(V x) { return ExpAvx2(x); }
};

}  // namespace

const AttentionKernels kAttentionAvx2 = {&AttentionForwardUnits<Avx2>,
                                         &AttentionBackwardUnits<Avx2>};

}  // namespace vesalius::ops
