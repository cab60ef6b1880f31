// SPDX-License-Identifier: Apache-2.0
//
// Objectives that make inputs and targets of one row of ids: span corruption
// and prefix language modelling, as T5 defines them (Raffel et al., 2020, 3.1.4
// and 3.3.4; preprocessors.py of the t5 package).
//
//   row          a b c d e f        noise d, e          prefix a b
//   inputs       a b c <0> f                            a b
//   targets      <0> d e                                c d e f
//
// The streams of random numbers are our own, the distributions are T5's.

#ifndef DATA_OPS_FEATURES_NOISE_H_
#define DATA_OPS_FEATURES_NOISE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "data_ops/features/ragged_ids.h"
#include "data_ops/tokenizer/status.h"

namespace data_ops {

struct SpanOptions {
  double noise_density = 0.15;        // above 0, at most 0.99
  double mean_noise_span_length = 3;  // at least 1
  // <extra_id_0>; the sentinels count down from here.
  int32_t first_sentinel = 0;
};

// Of a row of some length: both numbers are fixed, only where is random.
struct SpanCounts {
  size_t noise_tokens = 0;
  size_t spans = 0;
};

// For a row of at least 2 ids. Rounds halves to even and in float, as
// TensorFlow does.
SpanCounts CountSpans(size_t length, const SpanOptions& options);

// `parts` sizes of at least 1 that sum up to `total`, each such division being
// equally likely. 1 <= parts <= total.
std::vector<size_t> RandomParts(size_t total, size_t parts, uint64_t seed,
                                uint64_t row, uint64_t stream);

// Sizes of the spans of a row, of noise and of the rest. A row is one span of
// the rest, then one of noise, and so on; one of less than 2 ids has no noise.
struct Spans {
  std::vector<size_t> kept, noise;
};
Spans RandomSpans(size_t length, const SpanOptions& options, uint64_t seed,
                  uint64_t row);

// How many ids a row may have so that its corrupted inputs and
// EOS fit `inputs_length`, and how long its targets with EOS then are: T5's
// random_spans_helper. Fails with kInvalidArgument when nothing fits, and for
// options out of range.
struct SpanLengths {
  int64_t tokens = 0, targets = 0;
};
StatusOr<SpanLengths> LongestRow(int64_t inputs_length,
                                 const SpanOptions& options);

struct InputsAndTargets {
  RaggedIds inputs, targets;
};

// Row i draws from (seed, first_row + i). Fails with kInvalidArgument for
// options out of range, and when a row needs more sentinels than there are ids
// down to 0. At most `threads` threads work on it.
StatusOr<InputsAndTargets> CorruptSpans(const RaggedView& rows,
                                        const SpanOptions& options,
                                        uint64_t seed, uint64_t first_row,
                                        size_t threads);

// Inputs are the first 1 to n - 1 of a row's n ids, each number equally likely,
// targets the rest; all of them for a row of one.
InputsAndTargets SplitPrefixes(const RaggedView& rows, uint64_t seed,
                               uint64_t first_row);

}  // namespace data_ops

#endif  // DATA_OPS_FEATURES_NOISE_H_
