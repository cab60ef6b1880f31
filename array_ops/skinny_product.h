// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_SKINNY_PRODUCT_H_
#define ARRAY_OPS_SKINNY_PRODUCT_H_

#include "array_ops/strided.h"

// Products of a few rows with a large matrix, as of a decoding step with its
// weights: what takes the time is reading the matrix, once, in the order in
// which it lies in memory. Sums are float32.
//
// The numbers of a, b and out are float or Bfloat16: all alike, all but out
// Bfloat16, or only b.

namespace soft_prompts {

// Whether SkinnyProduct takes the matrices, and is likely the fastest way: the
// result has few rows (fewer where b is narrow, which other ways multiply
// faster), enough columns, and either b's rows have no gaps, or its columns and
// a's rows have none. A float a and a narrow b have no other way: of them few
// columns are enough, as a thread's part of the result may have.
template <typename A, typename B, typename Out>
bool SuitsSkinnyProduct(const Strided<const A>& a, const Strided<const B>& b,
                        const Strided<Out>& out);

// `out = a b` on the calling thread, for what SuitsSkinnyProduct takes. The
// processor has AVX-512F.
template <typename A, typename B, typename Out>
void SkinnyProduct(const Strided<const A>& a, const Strided<const B>& b,
                   const Strided<Out>& out);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_SKINNY_PRODUCT_H_
