// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_TILE_STRIPS_H_
#define ARRAY_OPS_TILE_STRIPS_H_

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "array_ops/strided.h"
#include "array_ops/tiles.h"
#include "array_ops/vectors.h"

// Matrices packed for the units for bfloat16, and their products. For sources
// compiled for AVX-512BW and AMX.
//
// A tile is 16 lines of 32 bfloat16. A strip is 32 lines (rows of the left
// matrix, columns of the right one): for each 32 of the depth, which is summed
// over, `parts` times two tiles. `parts` is how many bfloat16 a number is the
// sum of: three for float32, one for bfloat16. The units multiply pairs of
// neighbours of the depth; which are neighbours does not matter as long as both
// sides agree, and here they are sixteen apart, so that vectors need no
// permutation.

namespace soft_prompts {
namespace {

template <int parts>
constexpr int64_t kStepBytes = parts * 2 * kTileBytes;

// Each number as the sum of `parts` bfloat16, in the upper halves.
template <int parts>
inline void SplitInto(__m512 x, __m512 split[parts]) {
  if constexpr (parts == kSplitParts) {
    Split(x, split);
  } else {
    split[0] = Rounded(x);
  }
}

// Sixteen pairs of one number of `first` and one of `second`.
template <int parts>
inline void Pair(__m512 first, __m512 second, __m512i pairs[parts]) {
  __m512 first_parts[parts], second_parts[parts];
  SplitInto<parts>(first, first_parts);
  SplitInto<parts>(second, second_parts);
  for (int p = 0; p < parts; ++p) {
    pairs[p] = _mm512_mask_blend_epi16(
        0xaaaaaaaa, _mm512_srli_epi32(Bits(first_parts[p]), 16),
        Bits(second_parts[p]));
  }
}

inline __m512 LoadSixteen(const float* from, __mmask16 live) {
  return _mm512_maskz_loadu_ps(live, from);
}

inline __m512 LoadSixteen(const Bfloat16* from, __mmask16 live) {
  const __m512i halves = _mm512_maskz_loadu_epi16(live, from);
  return _mm512_castsi512_ps(_mm512_slli_epi32(
      _mm512_cvtepu16_epi32(_mm512_castsi512_si256(halves)), 16));
}

// Which side of a product a strip is for: a tile of the left matrix has a line
// in a row, one of the right matrix a pair of the depth.
enum class Side { kLeft, kRight };

// Writes one row of a tile of each part, two tiles apart.
template <int parts>
inline void StoreRow(const __m512i row[parts], char* to) {
  for (int p = 0; p < parts; ++p) {
    _mm512_store_si512(to + p * 2 * kTileBytes, row[p]);
  }
}

// Turns around one tile of each part.
template <int parts>
inline void TransposeTiles(char* tiles) {
  for (int p = 0; p < parts; ++p, tiles += 2 * kTileBytes) {
    __m512i rows[kTile];
    for (int64_t i = 0; i < kTile; ++i) {
      rows[i] = _mm512_load_si512(tiles + i * kLineBytes);
    }
    Transpose(rows);
    for (int64_t i = 0; i < kTile; ++i) {
      _mm512_store_si512(tiles + i * kLineBytes, rows[i]);
    }
  }
}

// Packs a strip whose lines are the rows of `from`, up to 32.
template <int parts, Side side, typename Number>
void PackRows(const Strided<const Number>& from, char* to) {
  for (int64_t k = 0; k < from.columns;
       k += kTileDepth, to += kStepBytes<parts>) {
    for (int64_t line = 0; line < from.rows; line += kTile) {
      char* const tiles = to + line / kTile * kTileBytes;
      for (int64_t i = 0; i < kTile; ++i) {
        const int64_t row = line + i;
        const int64_t left = row < from.rows ? from.columns - k : 0;
        const Number* const at = from.data + row * from.row_step + k;
        __m512i pairs[parts];
        Pair<parts>(LoadSixteen(at, Live(left)),
                    LoadSixteen(at + kTile, Live(left - kTile)), pairs);
        StoreRow<parts>(pairs, tiles + i * kLineBytes);
      }
      if (side == Side::kRight) TransposeTiles<parts>(tiles);
    }
  }
}

// Packs strips whose lines are the columns of `from`, one after another, each
// of `steps` steps of which it writes those that there are rows for.
template <int parts, Side side, typename Number>
void PackColumns(const Strided<const Number>& from, int64_t steps, char* to) {
  const int64_t strip_bytes = steps * kStepBytes<parts>;
  for (int64_t k = 0; k < from.rows; k += kTileDepth, to += kStepBytes<parts>) {
    for (int64_t line = 0; line < from.columns; line += kTile) {
      const __mmask16 live = Live(from.columns - line);
      char* const tiles =
          to + line / kSide * strip_bytes + line % kSide / kTile * kTileBytes;
      for (int64_t i = 0; i < kTile; ++i) {
        const int64_t row = k + i;
        const Number* const at = from.data + row * from.row_step + line;
        __m512i pairs[parts];
        Pair<parts>(LoadSixteen(at, row < from.rows ? live : 0),
                    LoadSixteen(at + kTile * from.row_step,
                                row + kTile < from.rows ? live : 0),
                    pairs);
        StoreRow<parts>(pairs, tiles + i * kLineBytes);
      }
      if (side == Side::kLeft) TransposeTiles<parts>(tiles);
    }
  }
}

// Adds a step's products of one part of each side to the tiles 0 to 3; a narrow
// strip has one tile.
template <bool narrow_a, bool narrow_b>
struct Step {
  static void LoadA(const char* tiles) {
    _tile_loadd(4, tiles, kLineBytes);
    if (!narrow_a) _tile_loadd(5, tiles + kTileBytes, kLineBytes);
  }
  static void LoadB(const char* tiles) {
    _tile_loadd(6, tiles, kLineBytes);
    if (!narrow_b) _tile_loadd(7, tiles + kTileBytes, kLineBytes);
  }
  static void Accumulate() {
    _tile_dpbf16ps(0, 4, 6);
    if (!narrow_b) _tile_dpbf16ps(1, 4, 7);
    if (!narrow_a) _tile_dpbf16ps(2, 5, 6);
    if (!narrow_a && !narrow_b) _tile_dpbf16ps(3, 5, 7);
  }
};

// out[32, 32] of row step `step`, plus or set to the product of two strips.
template <int parts, bool narrow_a, bool narrow_b>
void Square(const char* a, const char* b, int64_t steps, bool add, float* out,
            int64_t step) {
  using S = Step<narrow_a, narrow_b>;
  constexpr int64_t kPart = 2 * kTileBytes;
  const int64_t bytes = step * 4;
  float* const lower = out + kTile * step;
  FinishWrites(out);
  if (add) {
    _tile_loadd(0, out, bytes);
    if (!narrow_b) _tile_loadd(1, out + kTile, bytes);
    if (!narrow_a) _tile_loadd(2, lower, bytes);
    if (!narrow_a && !narrow_b) _tile_loadd(3, lower + kTile, bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < steps; ++k) {
    if constexpr (parts == 1) {
      S::LoadA(a), S::LoadB(b), S::Accumulate();
    } else {  // The small products first.
      S::LoadA(a), S::LoadB(b + 2 * kPart), S::Accumulate();
      S::LoadB(b + kPart), S::Accumulate();
      S::LoadA(a + kPart), S::Accumulate();
      S::LoadB(b), S::Accumulate();
      S::LoadA(a + 2 * kPart), S::Accumulate();
      S::LoadA(a), S::Accumulate();
    }
    a += kStepBytes<parts>;
    b += kStepBytes<parts>;
  }
  _tile_stored(0, out, bytes);
  if (!narrow_b) _tile_stored(1, out + kTile, bytes);
  if (!narrow_a) _tile_stored(2, lower, bytes);
  if (!narrow_a && !narrow_b) _tile_stored(3, lower + kTile, bytes);
}

// The product of packed strips: `a` of out.rows lines, `b` of out.columns, both
// of `steps` steps. `out` has room up to the next multiples of 16.
template <int parts>
void MultiplyStrips(const char* a, const char* b, int64_t steps, bool add,
                    const Strided<float>& out) {
  const int64_t strip_bytes = steps * kStepBytes<parts>;
  for (int64_t m = 0; m < out.rows; m += kSide, a += strip_bytes) {
    const bool narrow_a = out.rows - m <= kTile;
    for (int64_t n = 0; n < out.columns; n += kSide) {
      const bool narrow_b = out.columns - n <= kTile;
      const auto square = narrow_a   ? narrow_b ? Square<parts, true, true>
                                                : Square<parts, true, false>
                            : narrow_b ? Square<parts, false, true>
                                     : Square<parts, false, false>;
      square(a, b + n / kSide * strip_bytes, steps, add,
             out.data + m * out.row_step + n, out.row_step);
    }
  }
}

}  // namespace
}  // namespace soft_prompts

#endif  // ARRAY_OPS_TILE_STRIPS_H_
