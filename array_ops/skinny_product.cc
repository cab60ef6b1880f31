// SPDX-License-Identifier: Apache-2.0
#include "array_ops/skinny_product.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "array_ops/vectors.h"

namespace soft_prompts {
namespace {

// More rows are worth another arrangement of the matrix.
template <typename B>
constexpr int64_t kMostRows = std::is_same<B, float>::value ? 32 : 16;
// Fewer columns are not worth the call, where there is another way.
template <typename A, typename B>
constexpr int64_t kLeastColumns = std::is_same<A, B>::value ? 64 : 1;
// Sums that stay in the first cache while b passes by.
constexpr int64_t kMostSums = 1 << 13;
// What of b is in registers at a time: kDepth rows of kLanes columns.
constexpr int64_t kDepth = 16;

// a itself, or its numbers as float32, row after row, until the next call.
Strided<const float> Widened(const Strided<const float>& a) { return a; }

Strided<const float> Widened(const Strided<const Bfloat16>& a) {
  thread_local std::vector<float> numbers;
  numbers.resize(a.rows * a.columns);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t k = 0; k < a.columns; ++k) {
      numbers[i * a.columns + k] =
          Widened(a.data[i * a.row_step + k * a.column_step]);
    }
  }
  return {numbers.data(), a.rows, a.columns, a.columns, 1};
}

// sums[:, 0:width] = (add ? sums : 0) + a[:, 0:depth] b[0:depth, 0:width], for
// sizes up to those above; asks for the next rows of b. kWhole says that depth
// is kDepth and a lies without gaps: then nothing is chosen while it adds.
template <bool kWhole, typename B>
void AddPart(const Strided<const float>& a, const float* a_data, int64_t depth,
             const Strided<const B>& b, const B* b_data, int64_t width,
             bool add, const Strided<float>& sums, float* sums_data) {
  const __mmask16 live = Live(width);
  __m512 part[kDepth];
#pragma GCC unroll 16
  for (int64_t k = 0; k < kDepth; ++k) {
    const B* const from = b_data + k * b.row_step;
    part[k] = Load(from, kWhole || k < depth ? live : 0);
    _mm_prefetch(from + kDepth * b.row_step, _MM_HINT_T0);
  }
  const int64_t step = kWhole ? 1 : a.column_step;
  for (int64_t i = 0; i < sums.rows; ++i) {
    const float* const numbers = a_data + i * a.row_step;
    float* const to = sums_data + i * sums.row_step;
    // Two sums, because an addition waits for the one before.
    __m512 sum[2] = {add ? Load(to, live) : _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
#pragma GCC unroll 16
    for (int64_t k = 0; k < kDepth; ++k) {
      const float number = kWhole || k < depth ? numbers[k * step] : 0.0f;
      sum[k % 2] = _mm512_fmadd_ps(_mm512_set1_ps(number), part[k], sum[k % 2]);
    }
    Store(to, live, _mm512_add_ps(sum[0], sum[1]));
  }
}

// b lies row by row.
template <typename B, typename Out>
void AddRows(const Strided<const float>& a, const Strided<const B>& b,
             const Strided<Out>& out) {
  // Some columns after others, so that their sums stay near, and for them
  // kDepth rows of b at a time.
  alignas(64) float memory[kMostSums];
  const int64_t most = kMostSums / out.rows / kLanes * kLanes;
  for (int64_t start = 0; start < out.columns; start += most) {
    const int64_t columns = std::min(most, out.columns - start);
    const Strided<float> sums = {memory, out.rows, columns, most, 1};
    for (int64_t k = 0; k < b.rows; k += kDepth) {
      const int64_t depth = std::min(kDepth, b.rows - k);
      const auto add_part = depth == kDepth && a.column_step == 1
                                ? AddPart<true, B>
                                : AddPart<false, B>;
      for (int64_t n = 0; n < columns; n += kLanes) {
        add_part(a, a.data + k * a.column_step, depth, b,
                 b.data + k * b.row_step + start + n, columns - n, k > 0, sums,
                 memory + n);
      }
    }
    for (int64_t i = 0; i < out.rows; ++i) {
      Out* const to = out.data + i * out.row_step + start;
      for (int64_t n = 0; n < columns; n += kLanes) {
        const __mmask16 live = Live(columns - n);
        Store(to + n, live, Load(memory + i * most + n, live));
      }
    }
  }
}

// Of the result, what is in registers at a time where b lies column by column.
constexpr int64_t kDotRows = 6, kDotColumns = 4;

// The sum of the numbers of each of 16 vectors, in their order.
__m512 Sums(const __m512* vectors) {
  __m512 pairs[8], fours[4], eights[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m512 a = vectors[2 * i], b = vectors[2 * i + 1];
    pairs[i] =
        _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(pairs[2 * i]);
    const __m512d b = _mm512_castps_pd(pairs[2 * i + 1]);
    fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  // What is left of a vector lies in four parts: even and odd ones are added.
  constexpr int kEven = 0x88, kOdd = 0xdd;
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const __m512 a = fours[2 * i], b = fours[2 * i + 1];
    eights[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, kEven),
                              _mm512_shuffle_f32x4(a, b, kOdd));
  }
  return _mm512_add_ps(_mm512_shuffle_f32x4(eights[0], eights[1], kEven),
                       _mm512_shuffle_f32x4(eights[0], eights[1], kOdd));
}

// out[i, n] for kDotRows rows from row `i` and kDotColumns columns from column
// `n`, or as many as there are: sums of products along a's rows and b's
// columns.
template <typename B, typename Out>
void AddDots(const Strided<const float>& a, const Strided<const B>& b,
             int64_t i, int64_t n, const Strided<Out>& out) {
  // Where there are fewer, the last one is computed again.
  const float* rows[kDotRows];
  const B* columns[kDotColumns];
  for (int64_t r = 0; r < kDotRows; ++r) {
    rows[r] = a.data + std::min(i + r, out.rows - 1) * a.row_step;
  }
  for (int64_t c = 0; c < kDotColumns; ++c) {
    columns[c] = b.data + std::min(n + c, out.columns - 1) * b.column_step;
  }
  __m512 sums[2 * kLanes] = {};
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
        __m512& sum = sums[r * kDotColumns + c];
        sum = _mm512_fmadd_ps(row, column[c], sum);
      }
    }
  }
  Out found[2 * kLanes];
  Store(found, 0xffff, Sums(sums));
  Store(found + kLanes, 0xffff, Sums(sums + kLanes));
  for (int64_t r = 0; r < kDotRows && i + r < out.rows; ++r) {
    for (int64_t c = 0; c < kDotColumns && n + c < out.columns; ++c) {
      out.data[(i + r) * out.row_step + n + c] = found[r * kDotColumns + c];
    }
  }
}

}  // namespace

template <typename A, typename B, typename Out>
bool SuitsSkinnyProduct(const Strided<const A>& a, const Strided<const B>& b,
                        const Strided<Out>& out) {
  return out.rows <= kMostRows<B> && out.columns >= kLeastColumns<A, B> &&
         out.column_step == 1 &&
         (b.column_step == 1 || (b.row_step == 1 && a.column_step == 1));
}

template <typename A, typename B, typename Out>
void SkinnyProduct(const Strided<const A>& a, const Strided<const B>& b,
                   const Strided<Out>& out) {
  const Strided<const float> numbers = Widened(a);
  if (b.column_step == 1) return AddRows(numbers, b, out);
  for (int64_t n = 0; n < out.columns; n += kDotColumns) {
    for (int64_t i = 0; i < out.rows; i += kDotRows) {
      AddDots(numbers, b, i, n, out);
    }
  }
}

#define SKINNY_PRODUCT(A, B, Out)                                             \
  template bool SuitsSkinnyProduct(                                           \
      const Strided<const A>&, const Strided<const B>&, const Strided<Out>&); \
  template void SkinnyProduct(const Strided<const A>&,                        \
                              const Strided<const B>&, const Strided<Out>&)

SKINNY_PRODUCT(float, float, float);
SKINNY_PRODUCT(float, Bfloat16, float);
SKINNY_PRODUCT(Bfloat16, Bfloat16, float);
SKINNY_PRODUCT(Bfloat16, Bfloat16, Bfloat16);

}  // namespace soft_prompts
