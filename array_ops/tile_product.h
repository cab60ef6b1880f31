// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_TILE_PRODUCT_H_
#define ARRAY_OPS_TILE_PRODUCT_H_

#include "array_ops/strided.h"

// Products of a few rows with a large matrix on the tiles of a processor with
// AMX. As in SkinnyProduct the matrix is read once, in the order in which it
// lies in memory, and what is packed of it stays in the first cache; the units
// are several times as fast as the vectors, so more rows cost hardly more.
//
// The numbers of a, b and out are float or Bfloat16: all alike, all but out
// Bfloat16, or only b. Sums are float32. A float is the sum of three bfloat16,
// exactly, and the six larger of two floats' nine products count, as in
// SplitProduct, with what split_product.h says of huge and tiny numbers. Of
// bfloat16 too numbers below 2^-126 are zero on these units.

namespace soft_prompts {

// Whether TileProduct takes the matrices, and is likely the fastest way: 64
// rows at most, or 17 to 64 if b is float and its rows have no gaps, enough
// columns and depth to fill tiles, and either b's rows have no gaps or its
// columns have none.
template <typename A, typename B, typename Out>
bool SuitsTileProduct(const Strided<const A>& a, const Strided<const B>& b,
                      const Strided<Out>& out);

// `out = a b` on the calling thread, for what SuitsTileProduct takes. The
// processor has AVX-512BW and AMX for bfloat16, which the process asked for.
template <typename A, typename B, typename Out>
void TileProduct(const Strided<const A>& a, const Strided<const B>& b,
                 const Strided<Out>& out);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_TILE_PRODUCT_H_
