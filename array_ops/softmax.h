// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_SOFTMAX_H_
#define ARRAY_OPS_SOFTMAX_H_

#include <cstdint>

namespace soft_prompts {

// Makes the softmax of `row + bias` in place, and writes it to `result` as well
// where that is another type. Number is float or the bits of a bfloat16. Asks
// for AVX-512F, as the other.
template <typename Number>
void Softmax(int64_t count, const Number* bias, float* row, Number* result);

// The gradient of what a softmax `weights` was made of, from that of the
// softmax: `weights * (gradient - sum(weights * gradient))`. float32 results
// may overwrite `gradient`.
template <typename Number>
void SoftmaxGradient(int64_t count, const float* weights, const float* gradient,
                     Number* result);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_SOFTMAX_H_
