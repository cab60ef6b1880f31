// SPDX-License-Identifier: Apache-2.0
#include "array_ops/skinny_product.h"

#include <algorithm>

#include "array_ops/vectors.h"

namespace soft_prompts {
namespace {

// More rows are worth another arrangement of the matrix.
constexpr int64_t kMostRows = 32;
// Fewer columns are not worth the call.
constexpr int64_t kLeastColumns = 64;
// Of the result, what stays in the first cache while b passes by, in numbers.
constexpr int64_t kMostOut = 1 << 13;
// What of b is in registers at a time: kDepth rows of kLanes columns.
constexpr int64_t kDepth = 16;

// out[:, 0:width] = (add ? out : 0) + a[:, 0:depth] b[0:depth, 0:width], for
// sizes up to those above; asks for the next rows of b.
void AddPart(const Strided<const float>& a, const float* a_data, int64_t depth,
             const Strided<const float>& b, const float* b_data, int64_t width,
             bool add, const Strided<float>& out, float* out_data) {
  const __mmask16 live = Live(width);
  __m512 part[kDepth];
#pragma GCC unroll 16
  for (int64_t k = 0; k < kDepth; ++k) {
    const float* const from = b_data + k * b.row_step;
    part[k] = Load(from, k < depth ? live : 0);
    _mm_prefetch(from + kDepth * b.row_step, _MM_HINT_T0);
  }
  for (int64_t i = 0; i < out.rows; ++i) {
    const float* const numbers = a_data + i * a.row_step;
    float* const to = out_data + i * out.row_step;
    __m512 sum = add ? Load(to, live) : _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int64_t k = 0; k < kDepth; ++k) {
      const __m512 number =
          _mm512_set1_ps(k < depth ? numbers[k * a.column_step] : 0.0f);
      sum = _mm512_fmadd_ps(number, part[k], sum);
    }
    Store(to, live, sum);
  }
}

// Of the result, what is in registers at a time where b lies column by column.
constexpr int64_t kDotRows = 6, kDotColumns = 4;

// out[i, n] for kDotRows rows from row `i` and kDotColumns columns from column
// `n`, or as many as there are: sums of products along a's rows and b's
// columns.
void AddDots(const Strided<const float>& a, const Strided<const float>& b,
             int64_t i, int64_t n, const Strided<float>& out) {
  // Where there are fewer, the last one is computed again.
  const float* rows[kDotRows];
  const float* columns[kDotColumns];
  for (int64_t r = 0; r < kDotRows; ++r) {
    rows[r] = a.data + std::min(i + r, out.rows - 1) * a.row_step;
  }
  for (int64_t c = 0; c < kDotColumns; ++c) {
    columns[c] = b.data + std::min(n + c, out.columns - 1) * b.column_step;
  }
  __m512 sums[kDotRows][kDotColumns] = {};
  for (int64_t k = 0; k < b.rows; k += kLanes) {
    const __mmask16 live = Live(b.rows - k);
    __m512 column[kDotColumns];
#pragma GCC unroll 4
    for (int64_t c = 0; c < kDotColumns; ++c) {
      column[c] = Load(columns[c] + k, live);
    }
#pragma GCC unroll 6
    for (int64_t r = 0; r < kDotRows; ++r) {
      const __m512 row = Load(rows[r] + k, live);
#pragma GCC unroll 4
      for (int64_t c = 0; c < kDotColumns; ++c) {
        sums[r][c] = _mm512_fmadd_ps(row, column[c], sums[r][c]);
      }
    }
  }
#pragma GCC unroll 6
  for (int64_t r = 0; r < kDotRows; ++r) {
#pragma GCC unroll 4
    for (int64_t c = 0; c < kDotColumns; ++c) {
      if (i + r < out.rows && n + c < out.columns) {
        out.data[(i + r) * out.row_step + (n + c) * out.column_step] =
            _mm512_reduce_add_ps(sums[r][c]);
      }
    }
  }
}

void Dots(const Strided<const float>& a, const Strided<const float>& b,
          const Strided<float>& out) {
  for (int64_t n = 0; n < out.columns; n += kDotColumns) {
    for (int64_t i = 0; i < out.rows; i += kDotRows) AddDots(a, b, i, n, out);
  }
}

}  // namespace

bool SuitsSkinnyProduct(const Strided<const float>& a,
                        const Strided<const float>& b,
                        const Strided<float>& out) {
  return out.rows <= kMostRows && out.columns >= kLeastColumns &&
         out.column_step == 1 &&
         (b.column_step == 1 || (b.row_step == 1 && a.column_step == 1));
}

void SkinnyProduct(const Strided<const float>& a, const Strided<const float>& b,
                   const Strided<float>& out) {
  if (b.column_step != 1) return Dots(a, b, out);
  // A part of the columns after another, so that the part of the result stays
  // near, and in it kDepth rows of b at a time.
  const int64_t columns =
      std::max(kMostOut / out.rows / kLanes, int64_t{1}) * kLanes;
  for (int64_t start = 0; start < out.columns; start += columns) {
    const int64_t end = std::min(start + columns, out.columns);
    for (int64_t k = 0; k < b.rows; k += kDepth) {
      const int64_t depth = std::min(kDepth, b.rows - k);
      for (int64_t n = start; n < end; n += kLanes) {
        AddPart(a, a.data + k * a.column_step, depth, b,
                b.data + k * b.row_step + n, std::min(kLanes, end - n), k > 0,
                out, out.data + n);
      }
    }
  }
}

}  // namespace soft_prompts
