// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_ATTENTION_H_
#define ARRAY_OPS_ATTENTION_H_

#include "xla/ffi/api/ffi.h"

namespace soft_prompts {

// `softmax(queries keys' + bias) values` of each head, and its gradient, for
// XLA on a CPU with AVX-512F: everything float32 or all bfloat16 with float32
// in between, one head at a time on each thread, by TileAttention where it
// suits, else by ProductAttention. Nothing is kept for the gradient, which
// makes the weights again.
//
// queries `[B, Q, N, D]`, keys and values `[B, K, N, D]`, bias
// `[B or 1, N or 1, Q, K]` -> `[B, Q, N, D]`. Other shapes are an error.
extern "C" XLA_FFI_Error* AttentionHandler(XLA_FFI_CallFrame* call_frame);

// The same and the gradient of the result `[B, Q, N, D]` -> those of queries,
// keys and values. The bias has none.
extern "C" XLA_FFI_Error* AttentionGradientHandler(
    XLA_FFI_CallFrame* call_frame);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_ATTENTION_H_
