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
// Of the result, what stays in the second cache while b passes by, in numbers.
constexpr int64_t kMostOut = 1 << 14;
// What of b is in registers at a time: kDepth rows of kWidth columns.
constexpr int64_t kDepth = 8, kVectors = 2, kWidth = kVectors * kLanes;

// out[:, 0:width] = (add ? out : 0) + a[:, 0:depth] b[0:depth, 0:width], for
// sizes up to those above; asks for the next rows of b.
void AddPart(const Strided<const float>& a, const float* a_data, int64_t depth,
             const Strided<const float>& b, const float* b_data, int64_t width,
             bool add, const Strided<float>& out, float* out_data) {
  const __mmask16 live[kVectors] = {Live(width), Live(width - kLanes)};
  __m512 part[kDepth][kVectors];
#pragma GCC unroll 8
  for (int64_t k = 0; k < kDepth; ++k) {
    const float* const from = b_data + k * b.row_step;
#pragma GCC unroll 2
    for (int64_t j = 0; j < kVectors; ++j) {
      part[k][j] = Load(from + j * kLanes, k < depth ? live[j] : 0);
      _mm_prefetch(from + kDepth * b.row_step + j * kLanes, _MM_HINT_T0);
    }
  }
  for (int64_t i = 0; i < out.rows; ++i) {
    const float* const numbers = a_data + i * a.row_step;
    float* const to = out_data + i * out.row_step;
    __m512 sums[kVectors];
    for (int64_t j = 0; j < kVectors; ++j) {
      sums[j] = add ? Load(to + j * kLanes, live[j]) : _mm512_setzero_ps();
    }
#pragma GCC unroll 8
    for (int64_t k = 0; k < kDepth; ++k) {
      const __m512 number =
          _mm512_set1_ps(k < depth ? numbers[k * a.column_step] : 0.0f);
#pragma GCC unroll 2
      for (int64_t j = 0; j < kVectors; ++j) {
        sums[j] = _mm512_fmadd_ps(number, part[k][j], sums[j]);
      }
    }
    for (int64_t j = 0; j < kVectors; ++j) {
      Store(to + j * kLanes, live[j], sums[j]);
    }
  }
}

}  // namespace

bool SuitsSkinnyProduct(const Strided<const float>& b,
                        const Strided<float>& out) {
  return out.rows <= kMostRows && out.columns >= kLeastColumns &&
         out.column_step == 1 && b.column_step == 1;
}

void SkinnyProduct(const Strided<const float>& a, const Strided<const float>& b,
                   const Strided<float>& out) {
  // A part of the columns after another, so that the part of the result stays
  // near, and in it kDepth rows of b at a time.
  const int64_t columns = std::max(kMostOut / out.rows / kWidth, int64_t{1});
  for (int64_t start = 0; start < out.columns; start += columns * kWidth) {
    const int64_t end = std::min(start + columns * kWidth, out.columns);
    for (int64_t k = 0; k < b.rows; k += kDepth) {
      const int64_t depth = std::min(kDepth, b.rows - k);
      for (int64_t n = start; n < end; n += kWidth) {
        AddPart(a, a.data + k * a.column_step, depth, b,
                b.data + k * b.row_step + n, std::min(kWidth, end - n), k > 0,
                out, out.data + n);
      }
    }
  }
}

}  // namespace soft_prompts
