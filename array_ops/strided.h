// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_STRIDED_H_
#define ARRAY_OPS_STRIDED_H_

#include <cstdint>

namespace soft_prompts {

// The bits of a bfloat16.
using Bfloat16 = uint16_t;

// A matrix `[rows, columns]` in memory; steps are in elements.
template <typename Number>
struct Strided {
  Number* data;
  int64_t rows, columns, row_step, column_step;

  // Some rows, from row `start` on.
  Strided Rows(int64_t start, int64_t count) const {
    return {data + start * row_step, count, columns, row_step, column_step};
  }
};

}  // namespace soft_prompts

#endif  // ARRAY_OPS_STRIDED_H_
