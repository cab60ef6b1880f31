// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_TILE_ATTENTION_H_
#define ARRAY_OPS_TILE_ATTENTION_H_

#include "array_ops/attention_head.h"
#include "array_ops/strided.h"

namespace soft_prompts {

// `out = softmax(queries keys' + bias) values` by the units for bfloat16 (Intel
// AMX), on the calling thread.
//
// Keys and values are packed once. Then 32 queries at a time: their logits, in
// float32, are computed, made exponentials and multiplied by the values, so
// that they never leave the second cache. bfloat16: the exponentials are
// rounded to it. float32: every number is the sum of three bfloat16, as in
// split_product.h, which says what that gives.
//
// The process must have been given the units, and has AVX-512F and AVX-512BW.
// Throws std::bad_alloc.
template <typename Number>
void TileAttention(const AttentionHead<Number>& head,
                   const Strided<Number>& out);

// From the gradient of the result [Q, D] those of queries, keys and values.
template <typename Number>
void TileAttentionGradient(const AttentionHead<Number>& head,
                           const Strided<const Number>& gradient,
                           const Strided<Number>& of_queries,
                           const Strided<Number>& of_keys,
                           const Strided<Number>& of_values);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_TILE_ATTENTION_H_
