// SPDX-License-Identifier: Apache-2.0
#include "array_ops/split_product.h"

#include <algorithm>
#include <cstring>

#include "array_ops/tiles.h"
#include "array_ops/vectors.h"

namespace soft_prompts {
namespace {

// One step of a packed strip: the parts of 2 tiles.
constexpr int64_t kStepBytes = kSplitParts * 2 * kTileBytes;
// What is packed at a time: 768 KB of a for the second cache, 3 MB of b.
constexpr int64_t kMostDepth = 512, kMostRows = 256, kMostColumns = 1024;
// Below this, packing costs about what the units save.
constexpr int64_t kLeastSide = 128, kLeastDepth = 64;

// A line of an operand is what is not summed over: a row of a, a column of b.
// Of sixteen lines and a depth of 32 it writes three tiles, kTileBytes * 2
// apart: pairs of numbers along the depth, sixteen lines of sixteen pairs
// (`by_line`, as a tile of a) or sixteen pairs of sixteen lines (as one of b).
struct Lines {
  const float* data;
  int64_t count, depth, line_step, depth_step;
};

template <bool along_depth>
void PackTile(const Lines& lines, int64_t line, int64_t depth, bool by_line,
              char* to) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  __m512i tiles[kSplitParts][kTile];
  for (int64_t i = 0; i < kTile; ++i) {
    __m512 low[kSplitParts], high[kSplitParts];
    if (along_depth) {
      const float* from = lines.data + (line + i) * lines.line_step + depth;
      const bool there = line + i < lines.count;
      const int64_t left = there ? lines.depth - depth : 0;
      Split(_mm512_maskz_loadu_ps(Live(left), from), low);
      Split(_mm512_maskz_loadu_ps(Live(left - kTile), from + kTile), high);
      for (int64_t p = 0; p < kSplitParts; ++p) {
        tiles[p][i] = UpperHalves(low[p], high[p]);
      }
    } else {
      const int64_t at = depth + 2 * i;
      const float* from = lines.data + at * lines.depth_step + line;
      const __mmask16 live = Live(lines.count - line);
      Split(_mm512_maskz_loadu_ps(at < lines.depth ? live : 0, from), low);
      Split(_mm512_maskz_loadu_ps(at + 1 < lines.depth ? live : 0,
                                  from + lines.depth_step),
            high);
      for (int64_t p = 0; p < kSplitParts; ++p) {
        tiles[p][i] = _mm512_or_si512(_mm512_srli_epi32(Bits(low[p]), 16),
                                      _mm512_and_si512(Bits(high[p]), upper));
      }
    }
  }
  for (int64_t p = 0; p < kSplitParts; ++p) {
    if (along_depth != by_line) Transpose(tiles[p]);
    for (int64_t i = 0; i < kTile; ++i) {
      _mm512_store_si512(to + p * 2 * kTileBytes + i * 64, tiles[p][i]);
    }
  }
}

// Packs `count` lines from `line` on and `size` of the depth from `depth` on:
// strip after strip of 32 lines, each `steps` steps of both tiles' parts. It
// goes through memory in the order in which the numbers lie there.
void Pack(const Lines& lines, int64_t line, int64_t count, int64_t depth,
          int64_t size, bool by_line, char* to) {
  const int64_t strips = Units(count, kSide);
  const int64_t steps = Units(size, kTileDepth);
  const bool along_depth = lines.depth_step == 1;
  const auto pack = along_depth ? PackTile<true> : PackTile<false>;
  const int64_t outer = along_depth ? strips : steps;
  const int64_t inner = along_depth ? steps : strips;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      const int64_t strip = along_depth ? i : j, step = along_depth ? j : i;
      char* const at = to + (strip * steps + step) * kStepBytes;
      for (int64_t half = 0; half < 2; ++half) {
        pack(lines, line + strip * kSide + half * kTile,
             depth + step * kTileDepth, by_line, at + half * kTileBytes);
      }
    }
  }
}

// Adds the products of a's tiles 4, 5 and b's 6, 7 to the tiles 0 to 3.
inline void Accumulate() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

inline void LoadA(const char* step, int64_t part) {
  _tile_loadd(4, step + part * 2 * kTileBytes, 64);
  _tile_loadd(5, step + part * 2 * kTileBytes + kTileBytes, 64);
}

inline void LoadB(const char* step, int64_t part) {
  _tile_loadd(6, step + part * 2 * kTileBytes, 64);
  _tile_loadd(7, step + part * 2 * kTileBytes + kTileBytes, 64);
}

// Cache lines to ask for ahead of time.
struct Ahead {
  const char* data;
  int64_t lines;
};

// out[32, 32] of row step `step`, plus or set to the product of packed strips.
void Square(const char* a, const char* b, int64_t steps, bool add, Ahead ahead,
            float* out, int64_t step) {
  float* const corner[] = {out, out + kTile, out + kTile * step,
                           out + kTile * step + kTile};
  FinishWrites(out);
  if (add) {
    _tile_loadd(0, corner[0], step * 4);
    _tile_loadd(1, corner[1], step * 4);
    _tile_loadd(2, corner[2], step * 4);
    _tile_loadd(3, corner[3], step * 4);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < steps; ++k, a += kStepBytes, b += kStepBytes) {
    for (int64_t i = 0; i < ahead.lines; ++i, ahead.data += kLineBytes) {
      _mm_prefetch(ahead.data, _MM_HINT_T1);
    }
    LoadA(a, 0), LoadB(b, 2), Accumulate();
    LoadB(b, 1), Accumulate();
    LoadA(a, 1), Accumulate();
    LoadB(b, 0), Accumulate();
    LoadA(a, 2), Accumulate();
    LoadA(a, 0), Accumulate();
  }
  _tile_stored(0, corner[0], step * 4);
  _tile_stored(1, corner[1], step * 4);
  _tile_stored(2, corner[2], step * 4);
  _tile_stored(3, corner[3], step * 4);
}

// The same where fewer than 32 rows or columns are there.
void PartialSquare(const char* a, const char* b, int64_t steps, bool add,
                   Ahead ahead, float* out, int64_t step, int64_t rows,
                   int64_t columns) {
  alignas(64) float whole[kSide * kSide];
  if (add) {
    for (int64_t i = 0; i < rows; ++i) {
      std::memcpy(whole + i * kSide, out + i * step, columns * 4);
    }
  }
  Square(a, b, steps, add, ahead, whole, kSide);
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(out + i * step, whole + i * kSide, columns * 4);
  }
}

// A block of the result from packed blocks of a and b. While a's strips pass
// by one of b's in the second cache, the next of b's is fetched.
void Block(const char* a, const char* b, int64_t steps, bool add,
           const Strided<float>& out) {
  const int64_t strip_bytes = steps * kStepBytes;
  const int64_t squares = Units(out.rows, kSide);
  const int64_t lines = kStepBytes / kLineBytes / squares;
  for (int64_t n = 0; n < out.columns; n += kSide) {
    const char* const b_strip = b + n / kSide * strip_bytes;
    for (int64_t m = 0; m < out.rows; m += kSide) {
      const char* const a_strip = a + m / kSide * strip_bytes;
      const Ahead ahead = {
          b_strip + strip_bytes + m / kSide * steps * lines * kLineBytes,
          lines};
      float* const to = out.data + m * out.row_step + n;
      const int64_t rows = std::min(kSide, out.rows - m);
      const int64_t columns = std::min(kSide, out.columns - n);
      if (rows == kSide && columns == kSide) {
        Square(a_strip, b_strip, steps, add, ahead, to, out.row_step);
      } else {
        PartialSquare(a_strip, b_strip, steps, add, ahead, to, out.row_step,
                      rows, columns);
      }
    }
  }
}

}  // namespace

bool SuitsSplitProduct(const Strided<const float>& a,
                       const Strided<const float>& b,
                       const Strided<float>& out) {
  return (a.row_step == 1 || a.column_step == 1) &&
         (b.row_step == 1 || b.column_step == 1) && out.column_step == 1 &&
         out.rows >= kLeastSide && out.columns >= kLeastSide &&
         a.columns >= kLeastDepth;
}

void SplitProduct(const Strided<const float>& a, const Strided<const float>& b,
                  const Strided<float>& out) {
  thread_local Scratch a_scratch, b_scratch;
  const Lines rows = {a.data, a.rows, a.columns, a.row_step, a.column_step};
  const Lines columns = {b.data, b.columns, b.rows, b.column_step, b.row_step};
  const auto bytes = [&](int64_t lines, int64_t depth) {
    return Units(lines, kSide) * Units(depth, kTileDepth) * kStepBytes;
  };
  const int64_t depth = std::min(a.columns, kMostDepth);
  char* a_packed = a_scratch.Get(bytes(std::min(a.rows, kMostRows), depth));
  char* b_packed =
      b_scratch.Get(bytes(std::min(b.columns, kMostColumns), depth));
  const Tiles tiles;
  for (int64_t k = 0; k < a.columns; k += kMostDepth) {
    const int64_t size = std::min(kMostDepth, a.columns - k);
    const int64_t steps = Units(size, kTileDepth);
    for (int64_t n = 0; n < b.columns; n += kMostColumns) {
      const int64_t width = std::min(kMostColumns, b.columns - n);
      Pack(columns, n, width, k, size, /*by_line=*/false, b_packed);
      for (int64_t m = 0; m < a.rows; m += kMostRows) {
        const int64_t height = std::min(kMostRows, a.rows - m);
        Pack(rows, m, height, k, size, /*by_line=*/true, a_packed);
        Block(
            a_packed, b_packed, steps, k > 0,
            {out.data + m * out.row_step + n, height, width, out.row_step, 1});
      }
    }
  }
}

}  // namespace soft_prompts
