// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_VECTORS_H_
#define ARRAY_OPS_VECTORS_H_

#include <immintrin.h>

#include <cstdint>

#include "array_ops/strided.h"

// Sixteen numbers at a time, in float32. For sources compiled for AVX-512F.

namespace soft_prompts {

namespace {

constexpr int64_t kLanes = 16;

// Which of the next sixteen numbers are there.
inline __mmask16 Live(int64_t left) {
  return left >= kLanes ? 0xffff : left <= 0 ? 0 : (1u << left) - 1;
}

inline float Widened(Bfloat16 number) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(number << 16)));
}

inline __m512 Load(const float* from, __mmask16 live) {
  return _mm512_maskz_loadu_ps(live, from);
}

// AVX-512F alone cannot mask 16-bit numbers; the last ones of a row are copied.
inline __m512 Load(const Bfloat16* from, __mmask16 live) {
  alignas(32) Bfloat16 numbers[kLanes] = {};
  const Bfloat16* whole = from;
  if (live != 0xffff) {
    for (int i = 0; live >> i; ++i) numbers[i] = from[i];
    whole = numbers;
  }
  const __m256i bits =
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(whole));
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

inline void Store(float* to, __mmask16 live, __m512 x) {
  _mm512_mask_storeu_ps(to, live, x);
}

// Rounded to the nearest, ties to even; a NaN stays one.
inline void Store(Bfloat16* to, __mmask16 live, __m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd =
      _mm512_and_epi32(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i rounded =
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc00000));
  _mm512_mask_cvtepi32_storeu_epi16(to, live, _mm512_srli_epi32(rounded, 16));
}

// Makes each x <= 0 e^x, to two units in the last place; 0 below -88. A step of
// one needs what the last step gave; those of several fill the time.
template <int count>
inline void Exp(__m512 x[count]) {
  constexpr float kTerms[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6,
                              0.5f,       1.0f,       1.0f};
  __mmask16 normal[count];
  __m512 n[count], sum[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    normal[i] = _mm512_cmp_ps_mask(x[i], _mm512_set1_ps(-88.0f), _CMP_NLT_UQ);
    n[i] = _mm512_mul_ps(x[i], _mm512_set1_ps(1.44269504f));
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    n[i] = _mm512_roundscale_ps(n[i],
                                _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // ln 2 in two pieces, so that the rest is exact; then its Taylor series.
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    x[i] = _mm512_fnmadd_ps(n[i], _mm512_set1_ps(0.693359375f), x[i]);
    sum[i] = _mm512_set1_ps(1.0f / 5040);
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    x[i] = _mm512_fnmadd_ps(n[i], _mm512_set1_ps(-2.12194440e-4f), x[i]);
  }
#pragma GCC unroll 8
  for (float term : kTerms) {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      sum[i] = _mm512_fmadd_ps(sum[i], x[i], _mm512_set1_ps(term));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    x[i] = _mm512_maskz_scalef_ps(normal[i], sum[i], n[i]);
  }
}

inline __m512 Exp(__m512 x) {
  Exp<1>(&x);
  return x;
}

}  // namespace
}  // namespace soft_prompts

#endif  // ARRAY_OPS_VECTORS_H_
