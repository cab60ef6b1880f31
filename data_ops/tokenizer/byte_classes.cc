// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/byte_classes.h"

#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define DATA_OPS_HAVE_AVX2 1
#endif

namespace data_ops {

void ByteClasses::Set(char c, Class value) {
  const uint8_t byte = static_cast<uint8_t>(c);
  classes_[byte] = value;
  const uint8_t bit = static_cast<uint8_t>(1u << (byte >> 4));
  uint8_t& row = space_rows_[byte & 15];
  row = static_cast<uint8_t>(value == kSpace ? row | bit : row & ~bit);
}

void ByteClasses::CopyAndFindSpacesPortably(const char* from, size_t blocks,
                                            char* to, uint64_t* spaces) const {
  for (size_t b = 0; b < blocks; ++b, from += kBlock, to += kBlock) {
    uint64_t found = 0;
    for (size_t i = 0; i < kBlock; ++i) {
      found |= uint64_t{Get(from[i]) == kSpace} << i;
    }
    spaces[b] = found;
    if (to != from) std::memcpy(to, from, kBlock);
  }
}

#ifdef DATA_OPS_HAVE_AVX2

namespace {

// The bits of 32 bytes. A byte's low half selects a row, its high half the bit
// of the row; shuffles answer 0 for indices with the top bit set, so that
// bytes above 0x7f are never found.
__attribute__((target("avx2"))) inline uint32_t FindSpaces32(__m256i bytes,
                                                             __m256i rows) {
  const __m256i row_bits =
      _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                       2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i high =
      _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
  const __m256i row = _mm256_shuffle_epi8(rows, bytes);
  const __m256i bit = _mm256_shuffle_epi8(row_bits, high);
  const __m256i none =
      _mm256_cmpeq_epi8(_mm256_and_si256(row, bit), _mm256_setzero_si256());
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(none));
}

}  // namespace

__attribute__((target("avx2"))) void ByteClasses::CopyAndFindSpacesAvx2(
    const char* from, size_t blocks, char* to, uint64_t* spaces) const {
  const __m256i rows = _mm256_broadcastsi128_si256(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(space_rows_.data())));
  for (size_t b = 0; b < blocks; ++b, from += kBlock, to += kBlock) {
    const auto* source = reinterpret_cast<const __m256i*>(from);
    auto* target = reinterpret_cast<__m256i*>(to);
    const __m256i first = _mm256_loadu_si256(source);
    const __m256i second = _mm256_loadu_si256(source + 1);
    _mm256_storeu_si256(target, first);
    _mm256_storeu_si256(target + 1, second);
    spaces[b] = FindSpaces32(first, rows) | uint64_t{FindSpaces32(second, rows)}
                                                << 32;
  }
}

void ByteClasses::CopyAndFindSpaces(const char* from, size_t blocks, char* to,
                                    uint64_t* spaces) const {
  static const bool have_avx2 = __builtin_cpu_supports("avx2");
  if (have_avx2) {
    CopyAndFindSpacesAvx2(from, blocks, to, spaces);
  } else {
    CopyAndFindSpacesPortably(from, blocks, to, spaces);
  }
}

#else

void ByteClasses::CopyAndFindSpaces(const char* from, size_t blocks, char* to,
                                    uint64_t* spaces) const {
  CopyAndFindSpacesPortably(from, blocks, to, spaces);
}

#endif  // DATA_OPS_HAVE_AVX2

}  // namespace data_ops
