// SPDX-License-Identifier: Apache-2.0
//
// From rows of ids to the arrays that a model takes: what SeqIO does behind its
// tokenizer, for whole batches.

#ifndef DATA_OPS_FEATURES_ROW_FEATURES_H_
#define DATA_OPS_FEATURES_ROW_FEATURES_H_

#include <cstddef>
#include <cstdint>

#include "data_ops/features/padded_row.h"
#include "data_ops/features/ragged_ids.h"

namespace data_ops {

// Writes [rows.rows, layout.length] ids, row-major.
void PadRows(const RaggedView& rows, const PaddedLayout& layout, int32_t* ids);

// The same of rows `chosen` [count]; -1 is a row of padding alone, without EOS.
void PadChosenRows(const RaggedView& rows, const int64_t* chosen, size_t count,
                   const PaddedLayout& layout, int32_t* ids);

// Of `targets` [rows, length]: what the decoder reads, which is the targets
// moved right behind a 0, and the weights of the loss, 0 where a target is 0
// (padding) and 1 elsewhere. Both as SeqIO's EncDecFeatureConverter.
void WriteDecoderFeatures(const int32_t* targets, size_t rows, size_t length,
                          int32_t* decoder_inputs, int32_t* weights);

// The first of `widths`, which rise, that is not below `length`; the last one
// for a row that is longer than all, which will be cut. `count` is at least 1.
size_t LengthBucket(int64_t length, const int64_t* widths, size_t count);

// Cuts every row into pieces of at most `max_size` ids, at least 1, as T5's
// split_tokens. An empty row has no pieces. The values stay what they are.
LargeArray<int64_t> SplitRows(const RaggedView& rows, int64_t max_size);

// Row i of the result is row indices[i], which is in [0, rows.rows).
RaggedIds TakeRows(const RaggedView& rows, const int64_t* indices,
                   size_t count);

}  // namespace data_ops

#endif  // DATA_OPS_FEATURES_ROW_FEATURES_H_
