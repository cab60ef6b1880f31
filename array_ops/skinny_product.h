// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_SKINNY_PRODUCT_H_
#define ARRAY_OPS_SKINNY_PRODUCT_H_

#include "array_ops/strided.h"

// Products of a few rows with a large matrix, as of a decoding step with its
// weights: what takes the time is reading the matrix, once, in the order in
// which it lies in memory.

namespace soft_prompts {

// Whether SkinnyProduct takes the matrices, and is likely the fastest way: the
// result has few rows, and either b's rows have no gaps, or its columns and a's
// rows have none.
bool SuitsSkinnyProduct(const Strided<const float>& a,
                        const Strided<const float>& b,
                        const Strided<float>& out);

// `out = a b` on the calling thread, for what SuitsSkinnyProduct takes. The
// processor has AVX-512F.
void SkinnyProduct(const Strided<const float>& a, const Strided<const float>& b,
                   const Strided<float>& out);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_SKINNY_PRODUCT_H_
