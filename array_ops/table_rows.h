// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_TABLE_ROWS_H_
#define ARRAY_OPS_TABLE_ROWS_H_

#include "xla/ffi/api/ffi.h"

namespace soft_prompts {

// XLA's custom call for rows of a bfloat16 table: `table` [V, H] and int32
// `tokens` of any shape give [..., H]. A token from -V to -1 counts from the
// end; any other beyond the table gives a row of NaN.
extern "C" XLA_FFI_Error* RowsHandler(XLA_FFI_CallFrame* call_frame);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_TABLE_ROWS_H_
