// Exponential and logarithm that compilers vectorise, for kernels that are compiled for several
// instruction sets from one source. Only for sources built with the flags of contrastive_sweep.cc
// (ops/CMakeLists.txt): elsewhere they are right, but slow.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

// Before a function: compiled for each, picked when the program starts. Not under sanitizers, whose
// run time is not up yet then.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define VESALIUS_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VESALIUS_CLONES
#endif
#define VESALIUS_INLINE __attribute__((always_inline)) inline

namespace vesalius::ops {

// e^x for x <= 88, relative error 1e-7 (Cephes' polynomial on [-ln2/2, ln2/2]); 0 below -87.
VESALIUS_INLINE float Exp(float x) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const float in = x > -87.0F ? x : -87.0F;
  const float shifted = in * 1.44269504088896341F + kShift;
  const float n = shifted - kShift;
  const float t = (in - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * t + 1.3981999507e-3F;
  p = p * t + 8.3334519073e-3F;
  p = p * t + 4.1665795894e-2F;
  p = p * t + 1.6666665459e-1F;
  p = p * t + 5.0000001201e-1F;
  p = p * t * t + t + 1.0F;
  const auto power = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23U;  // 2^n
  const float value = p * std::bit_cast<float>(power);
  return x > -87.0F ? value : 0.0F;
}
VESALIUS_INLINE double Exp(double x) { return std::exp(x); }

// log(1 + e) for e in [0, 1] by 2 atanh(e / (2 + e)); relative error 1e-7.
VESALIUS_INLINE float Log1p(float e) {
  const float t = e / (2.0F + e), u = t * t;
  float p = 1.0F / 13;
  p = p * u + 1.0F / 11;
  p = p * u + 1.0F / 9;
  p = p * u + 1.0F / 7;
  p = p * u + 1.0F / 5;
  p = p * u + 1.0F / 3;
  return 2.0F * t * (p * u + 1.0F);
}
VESALIUS_INLINE double Log1p(double e) { return std::log1p(e); }

}  // namespace vesalius::ops
