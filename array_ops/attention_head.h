// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_ATTENTION_HEAD_H_
#define ARRAY_OPS_ATTENTION_HEAD_H_

#include "array_ops/strided.h"

namespace soft_prompts {

// The arrays of one head of one example; Number is float or the bits of a
// bfloat16. Columns lie side by side (column_step is 1).
template <typename Number>
struct AttentionHead {
  Strided<const Number> queries;  // [Q, D]
  Strided<const Number> keys;     // [K, D]
  Strided<const Number> values;   // [K, D]
  const Number* bias;             // [Q, K] without gaps
};

}  // namespace soft_prompts

#endif  // ARRAY_OPS_ATTENTION_HEAD_H_
