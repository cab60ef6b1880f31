// SPDX-License-Identifier: Apache-2.0
#include "array_ops/gelu.h"

#include "array_ops/vectors.h"

namespace soft_prompts {
namespace {

constexpr float kScale = 1.5957691216f;  // 2 sqrt(2 / pi)
constexpr float kCubic = 0.044715f;

// `gelu(x) = x s` with `s = (1 + tanh(u / 2)) / 2 = 1 / (1 + e^-u)` and
// `u = kScale (x + kCubic x^3)`.
struct Gate {
  explicit Gate(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    square = _mm512_mul_ps(x, x);
    const __m512 u =
        _mm512_mul_ps(_mm512_mul_ps(x, _mm512_set1_ps(kScale)),
                      _mm512_fmadd_ps(square, _mm512_set1_ps(kCubic), one));
    // e^-|u| cannot overflow.
    const __m512 small =
        Exp(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(u)));
    const __m512 part = _mm512_div_ps(one, _mm512_add_ps(one, small));
    const __m512 rest = _mm512_mul_ps(small, part);
    const __mmask16 negative =
        _mm512_cmp_ps_mask(u, _mm512_setzero_ps(), _CMP_LT_OQ);
    s = _mm512_mask_mov_ps(part, negative, rest);
    other = _mm512_mask_mov_ps(rest, negative, part);
  }

  __m512 square, s;
  __m512 other;  // 1 - s, without cancellation.
};

}  // namespace

template <typename Number>
void GatedGelu(int64_t count, const Number* x, const Number* y, Number* out) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    const __m512 in = Load(x + i, live);
    const __m512 gelu = _mm512_mul_ps(in, Gate(in).s);
    Store(out + i, live, _mm512_mul_ps(gelu, Load(y + i, live)));
  }
}

template <typename Number>
void GatedGeluGradient(int64_t count, const Number* x, const Number* y,
                       const Number* gradient, Number* of_x, Number* of_y) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    const __m512 in = Load(x + i, live), g = Load(gradient + i, live);
    const Gate gate(in);
    Store(of_y + i, live, _mm512_mul_ps(g, _mm512_mul_ps(in, gate.s)));
    // gelu' = s (1 + (1 - s) x u'), and x u' = kScale (x + 3 kCubic x^3).
    const __m512 slope =
        _mm512_mul_ps(_mm512_mul_ps(in, _mm512_set1_ps(kScale)),
                      _mm512_fmadd_ps(gate.square, _mm512_set1_ps(3 * kCubic),
                                      _mm512_set1_ps(1.0f)));
    const __m512 derivative = _mm512_mul_ps(
        gate.s, _mm512_fmadd_ps(gate.other, slope, _mm512_set1_ps(1.0f)));
    Store(of_x + i, live,
          _mm512_mul_ps(derivative, _mm512_mul_ps(g, Load(y + i, live))));
  }
}

template void GatedGelu(int64_t, const float*, const float*, float*);
template void GatedGelu(int64_t, const Bfloat16*, const Bfloat16*, Bfloat16*);
template void GatedGeluGradient(int64_t, const float*, const float*,
                                const float*, float*, float*);
template void GatedGeluGradient(int64_t, const Bfloat16*, const Bfloat16*,
                                const Bfloat16*, Bfloat16*, Bfloat16*);

}  // namespace soft_prompts
