// SPDX-License-Identifier: Apache-2.0

#include "data_ops/features/row_features.h"

#include <algorithm>

namespace data_ops {

void PadRows(const RaggedView& rows, const PaddedLayout& layout, int32_t* ids) {
  for (size_t i = 0; i < rows.rows; ++i, ids += layout.length) {
    WritePaddedRow(rows.row(i), rows.size(i), layout, ids);
  }
}

void PadChosenRows(const RaggedView& rows, const int64_t* chosen, size_t count,
                   const PaddedLayout& layout, int32_t* ids) {
  for (size_t i = 0; i < count; ++i, ids += layout.length) {
    if (chosen[i] < 0) {
      FillPadding(ids, ids + layout.length, layout.pad);
      continue;
    }
    const size_t row = static_cast<size_t>(chosen[i]);
    WritePaddedRow(rows.row(row), rows.size(row), layout, ids);
  }
}

void WriteDecoderFeatures(const int32_t* targets, size_t rows, size_t length,
                          int32_t* decoder_inputs, int32_t* weights) {
  for (size_t i = 0; i < rows * length; ++i) weights[i] = targets[i] != 0;
  if (length == 0) return;
  for (size_t row = 0; row < rows; ++row) {
    decoder_inputs[0] = 0;
    std::copy_n(targets, length - 1, decoder_inputs + 1);
    targets += length;
    decoder_inputs += length;
  }
}

size_t LengthBucket(int64_t length, const int64_t* widths, size_t count) {
  const int64_t* found = std::lower_bound(widths, widths + count, length);
  return std::min(static_cast<size_t>(found - widths), count - 1);
}

LargeArray<int64_t> SplitRows(const RaggedView& rows, int64_t max_size) {
  size_t pieces = 0;
  for (size_t i = 0; i < rows.rows; ++i) {
    pieces += (rows.size(i) + static_cast<size_t>(max_size) - 1) /
              static_cast<size_t>(max_size);
  }
  LargeArray<int64_t> splits(pieces + 1);
  int64_t* split = splits.begin();
  *split++ = rows.row_splits[0];
  for (size_t i = 0; i < rows.rows; ++i) {
    const int64_t end = rows.row_splits[i + 1];
    for (int64_t begin = rows.row_splits[i]; begin < end;) {
      begin = end - begin > max_size ? begin + max_size : end;
      *split++ = begin;
    }
  }
  return splits;
}

RaggedIds TakeRows(const RaggedView& rows, const int64_t* indices,
                   size_t count) {
  RaggedIds taken;
  taken.row_splits = LargeArray<int64_t>(count + 1);
  int64_t* const splits = taken.row_splits.begin();
  splits[0] = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t index = static_cast<size_t>(indices[i]);
    splits[i + 1] = splits[i] + static_cast<int64_t>(rows.size(index));
  }
  taken.values = LargeArray<int32_t>(static_cast<size_t>(splits[count]));
  for (size_t i = 0; i < count; ++i) {
    const size_t index = static_cast<size_t>(indices[i]);
    std::copy_n(rows.row(index), rows.size(index),
                taken.values.begin() + splits[i]);
  }
  return taken;
}

}  // namespace data_ops
