// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_SPLIT_PRODUCT_H_
#define ARRAY_OPS_SPLIT_PRODUCT_H_

#include "array_ops/strided.h"

// Products in float32 by the units for bfloat16 (Intel AMX), which do some
// twenty times as many operations in a second as those for float32.
//
// A float32 has 24 significant bits, a bfloat16 eight: x = x1 + x2 + x3
// exactly, each part rounded to the nearest, so |x2| <= 2^-8 |x| and
// |x3| <= 2^-17 |x| (the sign is a bit too). Of the nine products of parts the
// six of up to 2^-17 are summed in float32, the small ones first; what is left
// out is below 2^-24 |a| |b|, the rounding of a float32 product. JAX calls this
// DotAlgorithmPreset.BF16_BF16_F32_X6; Henry, Tang and Heinecke (2019,
// arXiv:1904.06376) measured its error, which is that of a float32 product.
//
// What differs from a float32 product: numbers beyond 3.39e38, and infinities,
// give NaN; parts and results below 1.2e-38 are 0.

namespace soft_prompts {

// Whether SplitProduct takes the matrices and is likely the fastest way: a and
// b have an axis without gaps, out's rows have none, and no axis is short.
bool SuitsSplitProduct(const Strided<const float>& a,
                       const Strided<const float>& b,
                       const Strided<float>& out);

// `out = a b` on the calling thread, for what SuitsSplitProduct takes. The
// process must have been given the units, and has AVX-512F and AVX-512BW.
void SplitProduct(const Strided<const float>& a, const Strided<const float>& b,
                  const Strided<float>& out);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_SPLIT_PRODUCT_H_
