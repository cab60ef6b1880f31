// SPDX-License-Identifier: Apache-2.0
//
// How a row of ids becomes one of a fixed length.

#ifndef DATA_OPS_FEATURES_PADDED_ROW_H_
#define DATA_OPS_FEATURES_PADDED_ROW_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

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

// Writes `pad` to [begin, end), a cache line at a time: GCC's -O2 leaves
// std::fill of an unknown length one id at a time, which made padding an eighth
// of the time of encoding.
inline void FillPadding(int32_t* begin, int32_t* end, int32_t pad) {
  constexpr std::ptrdiff_t kLine = 16;
  if (end - begin < kLine) {
    std::fill(begin, end, pad);
    return;
  }
  std::array<int32_t, kLine> line;
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

}  // namespace data_ops

#endif  // DATA_OPS_FEATURES_PADDED_ROW_H_
