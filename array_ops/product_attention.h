// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_PRODUCT_ATTENTION_H_
#define ARRAY_OPS_PRODUCT_ATTENTION_H_

#include "array_ops/attention_head.h"
#include "array_ops/strided.h"

namespace soft_prompts {

// `out = softmax(queries keys' + bias) values` as products of whole matrices
// (matrices.h) on the calling thread, which keeps the weights [Q, K] of one
// head; bfloat16: they are rounded to it. Throws what Multiply throws.
template <typename Number>
void ProductAttention(const AttentionHead<Number>& head,
                      const Strided<Number>& out);

// From the gradient of the result [Q, D] those of queries, keys and values.
template <typename Number>
void ProductAttentionGradient(const AttentionHead<Number>& head,
                              const Strided<const Number>& gradient,
                              const Strided<Number>& of_queries,
                              const Strided<Number>& of_keys,
                              const Strided<Number>& of_values);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_PRODUCT_ATTENTION_H_
