// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_GELU_H_
#define ARRAY_OPS_GELU_H_

#include <cstdint>

namespace soft_prompts {

// `out = gelu(x) * y`, with the gelu of T5 1.1, that of the hyperbolic tangent.
// Number is float or the bits of a bfloat16. Asks for AVX-512F.
template <typename Number>
void GatedGelu(int64_t count, const Number* x, const Number* y, Number* out);

// The gradients of x and y from that of the result.
template <typename Number>
void GatedGeluGradient(int64_t count, const Number* x, const Number* y,
                       const Number* gradient, Number* of_x, Number* of_y);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_GELU_H_
