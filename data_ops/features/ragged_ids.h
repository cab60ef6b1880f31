// SPDX-License-Identifier: Apache-2.0
//
// Rows of ids of unequal length, one behind the other.

#ifndef DATA_OPS_FEATURES_RAGGED_IDS_H_
#define DATA_OPS_FEATURES_RAGGED_IDS_H_

#include <cstddef>
#include <cstdint>

#include "data_ops/tokenizer/large_array.h"

namespace data_ops {

// Row i is values[row_splits[i], row_splits[i + 1]).
struct RaggedIds {
  LargeArray<int32_t> values;
  LargeArray<int64_t> row_splits;
};

// The same in memory of somebody else's. The splits rise.
struct RaggedView {
  const int32_t* values = nullptr;
  const int64_t* row_splits = nullptr;
  size_t rows = 0;

  const int32_t* row(size_t i) const { return values + row_splits[i]; }
  size_t size(size_t i) const {
    return static_cast<size_t>(row_splits[i + 1] - row_splits[i]);
  }
};

}  // namespace data_ops

#endif  // DATA_OPS_FEATURES_RAGGED_IDS_H_
