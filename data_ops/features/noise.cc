// SPDX-License-Identifier: Apache-2.0

#include "data_ops/features/noise.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "data_ops/features/row_random.h"
#include "data_ops/tokenizer/work_split.h"

namespace data_ops {
namespace {

enum Stream : uint64_t { kKeptSpans, kNoiseSpans, kPrefix };

// Waking a thread costs about as much as corrupting this many ids.
constexpr size_t kMinIdsPerThread = size_t{1} << 14;

Status CheckOptions(const SpanOptions& options) {
  if (!(options.noise_density > 0 && options.noise_density <= 0.99)) {
    return InvalidArgument("noise_density is " +
                           std::to_string(options.noise_density) +
                           "; it must be above 0 and at most 0.99.");
  }
  if (!(options.mean_noise_span_length >= 1)) {
    return InvalidArgument("mean_noise_span_length is " +
                           std::to_string(options.mean_noise_span_length) +
                           "; it must be at least 1.");
  }
  return Status();
}

size_t RoundToEven(float value) {
  return static_cast<size_t>(std::nearbyint(value));
}

// What a row of `length` ids becomes.
struct RowSizes {
  size_t inputs = 0, targets = 0, sentinels = 0;
};

RowSizes SizesOf(size_t length, const SpanOptions& options) {
  // T5's mask of one token has no noise, and its targets begin with a sentinel
  // all the same.
  if (length < 2) return {length, length, length};
  const SpanCounts counts = CountSpans(length, options);
  return {length - counts.noise_tokens + counts.spans,
          counts.noise_tokens + counts.spans, counts.spans};
}

// Memory for rows whose sizes are known.
template <typename SizeOf>
RaggedIds MakeRows(size_t rows, const SizeOf& size_of) {
  RaggedIds made;
  made.row_splits = LargeArray<int64_t>(rows + 1);
  int64_t* const splits = made.row_splits.begin();
  splits[0] = 0;
  for (size_t i = 0; i < rows; ++i) {
    splits[i + 1] = splits[i] + static_cast<int64_t>(size_of(i));
  }
  made.values = LargeArray<int32_t>(static_cast<size_t>(splits[rows]));
  return made;
}

// Writes a row's inputs and targets; they have room for exactly that.
void CorruptRow(const int32_t* ids, size_t length, const Spans& spans,
                int32_t sentinel, int32_t* inputs, int32_t* targets) {
  if (length < 2) {
    std::copy_n(ids, length, inputs);
    std::fill_n(targets, length, sentinel);
    return;
  }
  for (size_t i = 0; i < spans.kept.size(); ++i, --sentinel) {
    inputs = std::copy_n(ids, spans.kept[i], inputs);
    ids += spans.kept[i];
    *inputs++ = *targets++ = sentinel;
    targets = std::copy_n(ids, spans.noise[i], targets);
    ids += spans.noise[i];
  }
}

}  // namespace

SpanCounts CountSpans(size_t length, const SpanOptions& options) {
  const float as_float = static_cast<float>(length);
  const size_t noise =
      RoundToEven(as_float * static_cast<float>(options.noise_density));
  SpanCounts counts;
  counts.noise_tokens = std::clamp<size_t>(noise, 1, length - 1);
  const size_t spans =
      RoundToEven(static_cast<float>(counts.noise_tokens) /
                  static_cast<float>(options.mean_noise_span_length));
  // A span has at least one token of noise before it and one behind it.
  counts.spans = std::clamp<size_t>(
      spans, 1, std::min(counts.noise_tokens, length - counts.noise_tokens));
  return counts;
}

std::vector<size_t> RandomParts(size_t total, size_t parts, uint64_t seed,
                                uint64_t row, uint64_t stream) {
  RowRandom random(seed, row, stream);
  std::vector<size_t> sizes;
  sizes.reserve(parts);
  // Selection sampling (Knuth, 3.4.2, algorithm S): of the total - 1 places
  // between two items, takes parts - 1.
  size_t begin = 0;
  for (size_t place = 1; sizes.size() + 1 < parts; ++place) {
    if (random.Below(total - place) < parts - 1 - sizes.size()) {
      sizes.push_back(place - begin);
      begin = place;
    }
  }
  sizes.push_back(total - begin);
  return sizes;
}

Spans RandomSpans(size_t length, const SpanOptions& options, uint64_t seed,
                  uint64_t row) {
  if (length < 2) return {{length}, {0}};
  const SpanCounts counts = CountSpans(length, options);
  return {
      RandomParts(length - counts.noise_tokens, counts.spans, seed, row,
                  kKeptSpans),
      RandomParts(counts.noise_tokens, counts.spans, seed, row, kNoiseSpans)};
}

StatusOr<SpanLengths> LongestRow(int64_t inputs_length,
                                 const SpanOptions& options) {
  if (Status status = CheckOptions(options); !status.ok()) return status;
  const auto lengths_of = [&](int64_t tokens) {
    // Python's arithmetic here, not TensorFlow's: in double.
    const auto noise = static_cast<int64_t>(
        std::nearbyint(static_cast<double>(tokens) * options.noise_density));
    const auto spans = static_cast<int64_t>(std::nearbyint(
        static_cast<double>(noise) / options.mean_noise_span_length));
    return std::pair{tokens - noise + spans + 1, noise + spans + 1};
  };
  int64_t tokens = inputs_length - 1;
  if (tokens < 1) {
    return InvalidArgument("inputs_length is " + std::to_string(inputs_length) +
                           "; it must be at least 2, for a token and EOS.");
  }
  while (lengths_of(tokens + 1).first <= inputs_length) ++tokens;
  const auto [inputs, targets] = lengths_of(tokens);
  // T5 prefers targets that are no longer than the inputs.
  const int64_t less = options.noise_density == 0.5 && targets > inputs;
  return SpanLengths{tokens - less, targets - less};
}

StatusOr<InputsAndTargets> CorruptSpans(const RaggedView& rows,
                                        const SpanOptions& options,
                                        uint64_t seed, uint64_t first_row,
                                        size_t threads) {
  if (Status status = CheckOptions(options); !status.ok()) return status;
  for (size_t i = 0; i < rows.rows; ++i) {
    const size_t needed = SizesOf(rows.size(i), options).sentinels;
    if (static_cast<int64_t>(needed) > int64_t{options.first_sentinel} + 1) {
      return InvalidArgument(
          "row " + std::to_string(i) + " has " + std::to_string(needed) +
          " spans of noise, and the sentinels count down from " +
          std::to_string(options.first_sentinel) +
          "; split the rows first, or pass another first_sentinel.");
    }
  }
  InputsAndTargets made;
  made.inputs = MakeRows(rows.rows, [&](size_t i) {
    return SizesOf(rows.size(i), options).inputs;
  });
  made.targets = MakeRows(rows.rows, [&](size_t i) {
    return SizesOf(rows.size(i), options).targets;
  });
  const auto borders = BalancedBorders(rows.rows, threads, kMinIdsPerThread,
                                       [&](size_t i) { return rows.size(i); });
  Status status = RunParts(borders, threads, [&](const Part& part) {
    for (size_t i = part.begin; i < part.end; ++i) {
      const size_t length = rows.size(i);
      CorruptRow(
          rows.row(i), length,
          RandomSpans(length, options, seed, first_row + i),
          options.first_sentinel,
          made.inputs.values.begin() + made.inputs.row_splits.begin()[i],
          made.targets.values.begin() + made.targets.row_splits.begin()[i]);
    }
    return Status();
  });
  if (!status.ok()) return status;
  return made;
}

InputsAndTargets SplitPrefixes(const RaggedView& rows, uint64_t seed,
                               uint64_t first_row) {
  std::vector<size_t> prefixes(rows.rows);
  for (size_t i = 0; i < rows.rows; ++i) {
    if (rows.size(i) < 2) continue;
    RowRandom random(seed, first_row + i, kPrefix);
    prefixes[i] = 1 + random.Below(rows.size(i) - 1);
  }
  InputsAndTargets made;
  made.inputs = MakeRows(rows.rows, [&](size_t i) { return prefixes[i]; });
  made.targets =
      MakeRows(rows.rows, [&](size_t i) { return rows.size(i) - prefixes[i]; });
  for (size_t i = 0; i < rows.rows; ++i) {
    const int32_t* const ids = rows.row(i);
    std::copy_n(ids, prefixes[i],
                made.inputs.values.begin() + made.inputs.row_splits.begin()[i]);
    std::copy_n(
        ids + prefixes[i], rows.size(i) - prefixes[i],
        made.targets.values.begin() + made.targets.row_splits.begin()[i]);
  }
  return made;
}

}  // namespace data_ops
