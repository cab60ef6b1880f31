// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_PRODUCT_H_
#define ARRAY_OPS_PRODUCT_H_

#include "xla/ffi/api/ffi.h"

namespace soft_prompts {

// `out[..., M, N] = a[..., M, K] b[..., K, N]`, float32 or bfloat16, by oneDNN,
// for XLA on a CPU.
//
// What the axes are is said by dims and strides, in elements, of the three
// arrays as attributes: the arrays stay as they lie in memory. A leading axis
// of size 1 is broadcast. Dims that do not fit together, or that reach beyond
// an array, are an error, and nothing is read or written.
extern "C" XLA_FFI_Error* MultiplyHandler(XLA_FFI_CallFrame* call_frame);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_PRODUCT_H_
