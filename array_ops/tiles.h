// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_TILES_H_
#define ARRAY_OPS_TILES_H_

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

// Tiles of a processor with AMX: 16 lines of 64 bytes, which are 16 x 32
// bfloat16 of a left operand, 16 pairs of rows by 16 columns of a right one, or
// 16 x 16 float32 of a result. For sources compiled for AVX-512F, AVX-512BW and
// AMX.

namespace soft_prompts {
namespace {

constexpr int64_t kTile = 16, kTileDepth = 32;
constexpr int64_t kLineBytes = 64, kTileBytes = 1024;
// Larger products are computed in squares of two by two tiles.
constexpr int64_t kSide = 2 * kTile;

// How many units hold n.
constexpr int64_t Units(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit;
}

// Memory of a thread, aligned to cache lines, kept from product to product.
class Scratch {
 public:
  // `bytes` is a multiple of kLineBytes.
  char* Get(int64_t bytes) {
    if (bytes > size_) {
      data_.reset(static_cast<char*>(std::aligned_alloc(kLineBytes, bytes)));
      size_ = data_ ? bytes : 0;
      if (!data_) throw std::bad_alloc();
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(char* data) const { std::free(data); }
  };
  std::unique_ptr<char, Free> data_;
  int64_t size_ = 0;
};

// A number as the sum of three bfloat16, largest first.
constexpr int64_t kSplitParts = 3;
// How many bfloat16 a number is the sum of.
template <typename Number>
constexpr int64_t kParts = std::is_same<Number, float>::value ? kSplitParts : 1;

inline __m512i Bits(__m512 x) { return _mm512_castps_si512(x); }

// The bfloat16 nearest to each number, as a float32.
inline __m512 Rounded(__m512 x) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  return _mm512_castsi512_ps(
      _mm512_and_si512(_mm512_add_epi32(Bits(x), half), upper));
}

// The three parts of each number, in the upper halves of a float32.
inline void Split(__m512 x, __m512 parts[kSplitParts]) {
  parts[0] = Rounded(x);
  const __m512 rest = _mm512_sub_ps(x, parts[0]);
  parts[1] = Rounded(rest);
  parts[2] = _mm512_sub_ps(rest, parts[1]);
}

// The upper halves of 32 numbers, in their order.
inline __m512i UpperHalves(__m512 first, __m512 second) {
  const __m512i odd_halves = _mm512_set_epi16(
      63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29,
      27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_epi16(Bits(first), odd_halves, Bits(second));
}

// Sixteen rows of sixteen 32-bit numbers become columns.
inline void Transpose(__m512i rows[kTile]) {
  __m512i t[kTile];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    rows[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    rows[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    rows[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    rows[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// What was written is in memory now: GCC's intrinsics that read tiles and their
// configuration are assembly that does not say all that it reads.
inline void FinishWrites(const void* written) {
  __asm__ volatile("" : : "r"(written) : "memory");
}

// Eight whole tiles, on this thread, until they are released.
class Tiles {
 public:
  Tiles() {
    Config config;
    std::fill_n(config.row_bytes, 8, kLineBytes);
    std::fill_n(config.rows, 8, kTile);
    FinishWrites(&config);
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
};

}  // namespace
}  // namespace soft_prompts

#endif  // ARRAY_OPS_TILES_H_
