// SPDX-License-Identifier: Apache-2.0
//
// How a row of ids becomes one of a fixed length.
//
// There are two ways of storing one. Many wide rows would drive out of the
// processor's cache what encoding needs, and be read from memory only to be
// overwritten: those are better stored past the cache.

#ifndef DATA_OPS_FEATURES_PADDED_ROW_H_
#define DATA_OPS_FEATURES_PADDED_ROW_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace data_ops {

// Rows of `length` ids, at least 1. With `eos`, a row keeps at most length - 1
// ids of its own and `eos` always follows them, as after SeqIO's
// append_eos_after_trim; without it the row is cut at `length`. The rest is
// `pad`.
struct PaddedLayout {
  int64_t length = 0;
  int32_t pad = 0;
  std::optional<int32_t> eos;

  // The most ids that a row keeps of its own.
  size_t room() const { return static_cast<size_t>(length) - (eos ? 1 : 0); }
};

// As many ids as a cache line holds.
constexpr size_t kLineIds = 16;
using IdLine = std::array<int32_t, kLineIds>;

// Writes `pad` to [begin, end), a cache line at a time: GCC's -O2 leaves
// std::fill of an unknown length one id at a time, which made padding an eighth
// of the time of encoding.
inline void FillPadding(int32_t* begin, int32_t* end, int32_t pad) {
  constexpr auto kLine = static_cast<std::ptrdiff_t>(kLineIds);
  if (end - begin < kLine) {
    std::fill(begin, end, pad);
    return;
  }
  IdLine line;
  line.fill(pad);
  for (; end - begin > kLine; begin += kLine) {
    std::memcpy(begin, line.data(), sizeof(line));
  }
  // The last line may cover a part of the one before.
  std::memcpy(end - kLine, line.data(), sizeof(line));
}

// Writes `layout.length` ids to `row` and returns how many of them are not
// padding.
inline int32_t WritePaddedRow(const int32_t* ids, size_t count,
                              const PaddedLayout& layout, int32_t* row) {
  int32_t* end = std::copy_n(ids, std::min(count, layout.room()), row);
  if (layout.eos) *end++ = *layout.eos;
  FillPadding(end, row + layout.length, layout.pad);
  return static_cast<int32_t>(end - row);
}

// Stores kLineIds ids at `to`, a cache line, past the cache where there is a
// way to.
inline void StreamLine(const int32_t* from, int32_t* to) {
#ifdef __SSE2__
  for (size_t i = 0; i < kLineIds; i += 4) {
    _mm_stream_si128(
        reinterpret_cast<__m128i*>(to + i),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
#else
  std::memcpy(to, from, sizeof(IdLine));
#endif
}

// Whether all rows from `rows` on consist of whole cache lines.
inline bool CanStream(const PaddedLayout& layout, const int32_t* rows) {
  return layout.length % kLineIds == 0 &&
         reinterpret_cast<uintptr_t>(rows) % sizeof(IdLine) == 0;
}

// WritePaddedRow past the cache; requires CanStream(layout, row), and
// FinishStreaming() before another thread looks. A line is never stored in two
// goes, which would have to wait for the first.
inline int32_t StreamPaddedRow(const int32_t* ids, size_t count,
                               const PaddedLayout& layout, int32_t* row) {
  count = std::min(count, layout.room());
  const int32_t* const end = row + layout.length;
  size_t whole = count / kLineIds * kLineIds;
  for (size_t i = 0; i < whole; i += kLineIds) StreamLine(ids + i, row + i);
  IdLine line;
  line.fill(layout.pad);
  int32_t* const last = std::copy(ids + whole, ids + count, line.data());
  if (layout.eos) *last = *layout.eos;
  row += whole;
  if (row < end) StreamLine(line.data(), row);
  line.fill(layout.pad);
  for (row += kLineIds; row < end; row += kLineIds) {
    StreamLine(line.data(), row);
  }
  return static_cast<int32_t>(count + (layout.eos ? 1 : 0));
}

inline void FinishStreaming() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

}  // namespace data_ops

#endif  // DATA_OPS_FEATURES_PADDED_ROW_H_
