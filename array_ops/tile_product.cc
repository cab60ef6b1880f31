// SPDX-License-Identifier: Apache-2.0
#include "array_ops/tile_product.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "array_ops/tiles.h"
#include "array_ops/vectors.h"

namespace soft_prompts {
namespace {

// The tiles 0 to 3 are sums, 4 a left operand, the others right ones.
constexpr int64_t kSums = 4;
constexpr int64_t kMostRows = kSums * kTile;
constexpr int64_t kLeastColumns = kTile, kLeastDepth = kTileDepth;
// Columns of b that become tiles at a time, where its rows have no gaps.
constexpr int64_t kWidth = kSums * kTile;
// Tiles of sums that stay near while b passes by.
constexpr int64_t kMostSums = 32;
// Steps of a that stay in the second cache while b's columns pass by.
constexpr int64_t kMostSteps = 32;

template <int64_t count>
using Indices = std::make_integer_sequence<int64_t, count>;

// GCC's intrinsics take nothing but digits for the number of a tile.
template <int64_t n>
inline void LoadSum(const char* from) {
  if constexpr (n == 0) _tile_loadd(0, from, kLineBytes);
  if constexpr (n == 1) _tile_loadd(1, from, kLineBytes);
  if constexpr (n == 2) _tile_loadd(2, from, kLineBytes);
  if constexpr (n == 3) _tile_loadd(3, from, kLineBytes);
}

template <int64_t n>
inline void StoreSum(char* to) {
  if constexpr (n == 0) _tile_stored(0, to, kLineBytes);
  if constexpr (n == 1) _tile_stored(1, to, kLineBytes);
  if constexpr (n == 2) _tile_stored(2, to, kLineBytes);
  if constexpr (n == 3) _tile_stored(3, to, kLineBytes);
}

// Adds the product of tile 4 and the right operand at `right` to the sum.
template <int64_t n>
inline void AddProduct(const char* right) {
  if constexpr (n % 3 == 0) _tile_loadd(5, right, kLineBytes);
  if constexpr (n % 3 == 1) _tile_loadd(6, right, kLineBytes);
  if constexpr (n % 3 == 2) _tile_loadd(7, right, kLineBytes);
  if constexpr (n == 0) _tile_dpbf16ps(0, 4, 5);
  if constexpr (n == 1) _tile_dpbf16ps(1, 4, 6);
  if constexpr (n == 2) _tile_dpbf16ps(2, 4, 7);
  if constexpr (n == 3) _tile_dpbf16ps(3, 4, 5);
}

// The sums, each `step` bytes after the one before.
template <int64_t... n>
void LoadSums(const char* from, int64_t step,
              std::integer_sequence<int64_t, n...>) {
  (LoadSum<n>(from + n * step), ...);
}

template <int64_t... n>
void StoreSums(char* to, int64_t step, std::integer_sequence<int64_t, n...>) {
  (StoreSum<n>(to + n * step), ...);
}

// Adds the products of tile 4 and right operands that lie `step` bytes apart.
template <int64_t... n>
void AddProducts(const char* right, int64_t step,
                 std::integer_sequence<int64_t, n...>) {
  (AddProduct<n>(right + n * step), ...);
}

// Calls `multiply(left, right)` for those parts of two operands whose products
// count, the smallest ones first.
template <int64_t left_parts, int64_t right_parts, typename Function>
void ForParts(const Function& multiply) {
  constexpr int64_t most = std::max(left_parts, right_parts) - 1;
#pragma GCC unroll 3
  for (int64_t order = most; order >= 0; --order) {
#pragma GCC unroll 3
    for (int64_t left = 0; left <= order; ++left) {
      if (left < left_parts && order - left < right_parts) {
        multiply(left, order - left);
      }
    }
  }
}

// Which of the next 32 numbers are there.
inline __mmask32 Live32(int64_t left) {
  return left >= 32 ? ~0u : left <= 0 ? 0 : (1u << left) - 1;
}

// The next 32 numbers, as many as are left and zeros, as bfloat16.
inline void LoadLine(const Bfloat16* from, int64_t left, __m512i* parts) {
  parts[0] = _mm512_maskz_loadu_epi16(Live32(left), from);
}

inline void LoadLine(const float* from, int64_t left, __m512i* parts) {
  __m512 first[kSplitParts], second[kSplitParts];
  Split(_mm512_maskz_loadu_ps(Live(left), from), first);
  Split(_mm512_maskz_loadu_ps(Live(left - kLanes), from + kLanes), second);
  for (int64_t p = 0; p < kSplitParts; ++p) {
    parts[p] = UpperHalves(first[p], second[p]);
  }
}

// Writes a as tiles, those of each step of 32 along the depth together: part
// after part, each tile after tile of rows. They are left operands, or right
// ones of the transposed product.
template <typename A>
void PackRows(const Strided<const A>& a, bool transposed, char* to) {
  const int64_t part_bytes = Units(a.rows, kTile) * kTileBytes;
  for (int64_t k = 0; k < a.columns; k += kTileDepth) {
    const int64_t left = a.columns - k;
    for (int64_t row = 0; row < a.rows; row += kTile, to += kTileBytes) {
      __m512i tiles[kParts<A>][kTile] = {};
      for (int64_t i = 0; i < std::min(kTile, a.rows - row); ++i) {
        const A* from = a.data + (row + i) * a.row_step + k * a.column_step;
        A numbers[kTileDepth];
        if (a.column_step != 1) {
          for (int64_t j = 0; j < std::min(left, kTileDepth); ++j) {
            numbers[j] = from[j * a.column_step];
          }
          from = numbers;
        }
        __m512i parts[kParts<A>];
        LoadLine(from, left, parts);
        for (int64_t p = 0; p < kParts<A>; ++p) tiles[p][i] = parts[p];
      }
      for (int64_t p = 0; p < kParts<A>; ++p) {
        if (transposed) Transpose(tiles[p]);
        for (int64_t i = 0; i < kTile; ++i) {
          _mm512_store_si512(to + p * part_bytes + i * kLineBytes, tiles[p][i]);
        }
      }
    }
    to += (kParts<A> - 1) * part_bytes;
  }
}

// Two rows of 32 columns as pairs, the first 16 columns and the others.
inline void PackPairs(const Bfloat16* first, __mmask32 first_live,
                      const Bfloat16* second, __mmask32 second_live, char* to) {
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11,
                                       42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                       5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  const __m512i a = _mm512_maskz_loadu_epi16(first_live, first);
  const __m512i b = _mm512_maskz_loadu_epi16(second_live, second);
  _mm512_store_si512(to, _mm512_permutex2var_epi16(a, low, b));
  _mm512_store_si512(to + kTileBytes, _mm512_permutex2var_epi16(a, high, b));
}

inline void PackPairs(const float* first, __mmask32 first_live,
                      const float* second, __mmask32 second_live, char* to) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  for (int64_t half = 0; half < 2; ++half, to += kTileBytes) {
    const int64_t at = half * kLanes;
    __m512 a[kSplitParts], b[kSplitParts];
    Split(_mm512_maskz_loadu_ps(first_live >> at, first + at), a);
    Split(_mm512_maskz_loadu_ps(second_live >> at, second + at), b);
    for (int64_t p = 0; p < kSplitParts; ++p) {
      _mm512_store_si512(to + p * kSums * kTileBytes,
                         _mm512_or_si512(_mm512_srli_epi32(Bits(a[p]), 16),
                                         _mm512_and_si512(Bits(b[p]), upper)));
    }
  }
}

// Right operands, four tiles of each part: 32 rows of b from row `k`, and 64
// columns from column `n`, of which as many as there are. Asks for the next
// rows.
template <typename B>
void PackColumns(const Strided<const B>& b, int64_t k, int64_t n, char* to) {
  constexpr int64_t kLine = kLineBytes / sizeof(B);
  for (int64_t pair = 0; pair < kTileDepth / 2; ++pair) {
    const int64_t left = b.rows - (k + 2 * pair);
    const B* const from = b.data + (k + 2 * pair) * b.row_step + n;
    for (int64_t c = 0; c < kWidth; c += kLine) {
      _mm_prefetch(from + kTileDepth * b.row_step + c, _MM_HINT_T0);
      _mm_prefetch(from + (kTileDepth + 1) * b.row_step + c, _MM_HINT_T0);
    }
    char* at = to + pair * kLineBytes;
    for (int64_t c = 0; c < kWidth; c += 32, at += 2 * kTileBytes) {
      const __mmask32 live = Live32(b.columns - n - c);
      PackPairs(from + c, left > 0 ? live : 0, from + b.row_step + c,
                left > 1 ? live : 0, at);
    }
  }
}

// b lies row by row. Some columns after others, so that their sums stay near:
// of each row of b that many lie together. `a` is packed.
template <typename A, typename B, typename Out>
void AddRows(const char* a, const Strided<const B>& b,
             const Strided<Out>& out) {
  alignas(64) char packed[kParts<B> * kSums * kTileBytes];
  alignas(64) char sums[kMostSums * kTileBytes];
  const int64_t row_tiles = Units(out.rows, kTile);
  const int64_t most = kMostSums / row_tiles / kSums * kWidth;
  const int64_t step = row_tiles * kTileBytes;
  for (int64_t start = 0; start < out.columns; start += most) {
    const int64_t columns = std::min(most, out.columns - start);
    std::memset(sums, 0, Units(columns, kWidth) * kSums * step);
    const char* rows = a;
    for (int64_t k = 0; k < b.rows; k += kTileDepth, rows += kParts<A> * step) {
      for (int64_t n = 0; n < columns; n += kWidth) {
        PackColumns(b, k, start + n, packed);
        FinishWrites(packed);
        for (int64_t at = 0; at < step; at += kTileBytes) {
          char* const sum = sums + n / kTile * step + at;
          LoadSums(sum, step, Indices<kSums>());
          ForParts<kParts<A>, kParts<B>>([&](int64_t left, int64_t right) {
            _tile_loadd(4, rows + left * step + at, kLineBytes);
            AddProducts(packed + right * kSums * kTileBytes, kTileBytes,
                        Indices<kSums>());
          });
          StoreSums(sum, step, Indices<kSums>());
        }
      }
    }
    for (int64_t i = 0; i < out.rows; ++i) {
      Out* const to = out.data + i * out.row_step + start;
      const char* from = sums + i * kLineBytes;
      for (int64_t n = 0; n < columns; n += kTile, from += step) {
        Store(to + n, Live(columns - n), _mm512_load_ps(from));
      }
    }
  }
}

// Where the parts of a left operand lie: 16 lines each, `line_step` bytes
// apart.
struct LeftOperand {
  const char* parts;
  int64_t line_step;
};

// 16 columns of b from column `n` and 32 of its rows from row `k`, of which as
// many as there are: where they lie, if that will do, or in `memory`. Asks for
// the same rows of the next columns.
template <typename B>
LeftOperand Columns(const Strided<const B>& b, int64_t k, int64_t n,
                    char* memory) {
  const B* const from = b.data + n * b.column_step + k;
  for (int64_t i = 0; i < kTile; ++i) {
    const B* const next = from + (kTile + i) * b.column_step;
    _mm_prefetch(next, _MM_HINT_T0);
    if (kParts<B> > 1) _mm_prefetch(next + kLanes, _MM_HINT_T0);
  }
  if (kParts<B> == 1 && n + kTile <= b.columns && k + kTileDepth <= b.rows) {
    return {reinterpret_cast<const char*>(from),
            b.column_step * static_cast<int64_t>(sizeof(B))};
  }
  for (int64_t i = 0; i < kTile; ++i) {
    const int64_t left = n + i < b.columns ? b.rows - k : 0;
    __m512i parts[kParts<B>];
    LoadLine(from + i * b.column_step, left, parts);
    for (int64_t p = 0; p < kParts<B>; ++p) {
      _mm512_store_si512(memory + p * kTileBytes + i * kLineBytes, parts[p]);
    }
  }
  return {memory, kLineBytes};
}

// Writes the transposed sums of 16 columns: `sums` is tile after tile of rows.
template <typename Out>
void StoreColumns(const char* sums, int64_t n, const Strided<Out>& out) {
  for (int64_t row = 0; row < out.rows; row += kTile, sums += kTileBytes) {
    __m512i lines[kTile];
    for (int64_t i = 0; i < kTile; ++i) {
      lines[i] = _mm512_load_si512(sums + i * kLineBytes);
    }
    Transpose(lines);
    for (int64_t i = 0; i < std::min(kTile, out.rows - row); ++i) {
      Store(out.data + (row + i) * out.row_step + n, Live(out.columns - n),
            _mm512_castsi512_ps(lines[i]));
    }
  }
}

// b lies column by column: its columns are left operands, and what is added up
// is the transposed result. `a` is packed, as right operands.
template <int64_t row_tiles, typename A, typename B, typename Out>
void AddColumns(const char* a, const Strided<const B>& b,
                const Strided<Out>& out) {
  constexpr int64_t kStepBytes = kParts<A> * row_tiles * kTileBytes;
  constexpr int64_t kDepth = kMostSteps * kTileDepth;
  constexpr int64_t kMost = kMostSums / row_tiles * kTile;
  alignas(64) char memory[kParts<B> * kTileBytes];
  alignas(64) char sums[kMostSums * kTileBytes];
  for (int64_t start = 0; start < out.columns; start += kMost) {
    const int64_t end = std::min(out.columns, start + kMost);
    std::memset(sums, 0, sizeof(sums));
    for (int64_t chunk = 0; chunk < b.rows; chunk += kDepth) {
      const int64_t chunk_end = std::min(b.rows, chunk + kDepth);
      char* sum = sums;
      for (int64_t n = start; n < end; n += kTile) {
        const char* rows = a + chunk / kTileDepth * kStepBytes;
        FinishWrites(sum);
        LoadSums(sum, kTileBytes, Indices<row_tiles>());
        for (int64_t k = chunk; k < chunk_end; k += kTileDepth) {
          const LeftOperand columns = Columns(b, k, n, memory);
          FinishWrites(memory);
          ForParts<kParts<B>, kParts<A>>([&](int64_t left, int64_t right) {
            _tile_loadd(4, columns.parts + left * kTileBytes,
                        columns.line_step);
            AddProducts(rows + right * row_tiles * kTileBytes, kTileBytes,
                        Indices<row_tiles>());
          });
          FinishWrites(memory);  // None of the next ones comes before.
          rows += kStepBytes;
        }
        StoreSums(sum, kTileBytes, Indices<row_tiles>());
        sum += row_tiles * kTileBytes;
      }
    }
    const char* sum = sums;
    for (int64_t n = start; n < end; n += kTile) {
      StoreColumns(sum, n, out);
      sum += row_tiles * kTileBytes;
    }
  }
}

}  // namespace

template <typename A, typename B, typename Out>
bool SuitsTileProduct(const Strided<const A>& a, const Strided<const B>& b,
                      const Strided<Out>& out) {
  // Packing floats takes longer than multiplying a few rows with vectors, which
  // are slow only where sums are.
  const bool packs = kParts<B> > 1 && b.column_step == 1;
  return out.rows > (packs ? kTile : 0) && out.rows <= kMostRows &&
         out.columns >= kLeastColumns && a.columns >= kLeastDepth &&
         out.column_step == 1 && (b.column_step == 1 || b.row_step == 1);
}

template <typename A, typename B, typename Out>
void TileProduct(const Strided<const A>& a, const Strided<const B>& b,
                 const Strided<Out>& out) {
  thread_local Scratch scratch;
  const int64_t row_tiles = Units(a.rows, kTile);
  char* const packed = scratch.Get(Units(a.columns, kTileDepth) * row_tiles *
                                   kParts<A> * kTileBytes);
  const bool transposed = b.column_step != 1;
  PackRows(a, transposed, packed);
  FinishWrites(packed);
  const Tiles tiles;
  if (!transposed) return AddRows<A>(packed, b, out);
  if (row_tiles == 1) return AddColumns<1, A>(packed, b, out);
  if (row_tiles == 2) return AddColumns<2, A>(packed, b, out);
  if (row_tiles == 3) return AddColumns<3, A>(packed, b, out);
  AddColumns<4, A>(packed, b, out);
}

#define TILE_PRODUCT(A, B, Out)                                               \
  template bool SuitsTileProduct(                                             \
      const Strided<const A>&, const Strided<const B>&, const Strided<Out>&); \
  template void TileProduct(const Strided<const A>&, const Strided<const B>&, \
                            const Strided<Out>&)

TILE_PRODUCT(float, float, float);
TILE_PRODUCT(float, Bfloat16, float);
TILE_PRODUCT(Bfloat16, Bfloat16, float);
TILE_PRODUCT(Bfloat16, Bfloat16, Bfloat16);

}  // namespace soft_prompts
