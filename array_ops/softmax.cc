// SPDX-License-Identifier: Apache-2.0
#include "array_ops/softmax.h"

#include <type_traits>

#include "array_ops/vectors.h"

namespace soft_prompts {

template <typename Number>
void Softmax(int64_t count, const Number* bias, float* row, Number* result) {
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 largest = lowest;
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    const __m512 x = _mm512_add_ps(Load(row + i, live), Load(bias + i, live));
    Store(row + i, live, x);
    largest = _mm512_mask_max_ps(largest, live, largest, x);
  }
  const __m512 top = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
  __m512 total = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    const __m512 x = Exp(_mm512_sub_ps(Load(row + i, live), top));
    Store(row + i, live, x);
    total = _mm512_mask_add_ps(total, live, total, x);
  }
  const __m512 scale = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(total));
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    const __m512 x = _mm512_mul_ps(Load(row + i, live), scale);
    Store(row + i, live, x);
    if (!std::is_same<Number, float>::value) Store(result + i, live, x);
  }
}

template <typename Number>
void SoftmaxGradient(int64_t count, const float* weights, const float* gradient,
                     Number* result) {
  __m512 total = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    total = _mm512_fmadd_ps(Load(weights + i, live), Load(gradient + i, live),
                            total);
  }
  const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(total));
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 live = Live(count - i);
    const __m512 x = _mm512_sub_ps(Load(gradient + i, live), mean);
    Store(result + i, live, _mm512_mul_ps(Load(weights + i, live), x));
  }
}

template void Softmax(int64_t, const float*, float*, float*);
template void Softmax(int64_t, const Bfloat16*, float*, Bfloat16*);
template void SoftmaxGradient(int64_t, const float*, const float*, float*);
template void SoftmaxGradient(int64_t, const float*, const float*, Bfloat16*);

}  // namespace soft_prompts
