// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_GATED_GELU_H_
#define ARRAY_OPS_GATED_GELU_H_

#include "xla/ffi/api/ffi.h"

namespace soft_prompts {

// `gelu(x) * y` for XLA on a CPU with AVX-512F; x, y and the result of one
// shape, all float32 or all bfloat16. Anything else is an error.
extern "C" XLA_FFI_Error* GatedGeluHandler(XLA_FFI_CallFrame* call_frame);

// x, y and the gradient of the result -> those of x and y.
extern "C" XLA_FFI_Error* GatedGeluGradientHandler(
    XLA_FFI_CallFrame* call_frame);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_GATED_GELU_H_
