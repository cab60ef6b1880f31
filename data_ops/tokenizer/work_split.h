// SPDX-License-Identifier: Apache-2.0
//
// Cuts a batch into contiguous ranges of about equal cost and runs them on
// threads. Knows nothing of text.

#ifndef DATA_OPS_TOKENIZER_WORK_SPLIT_H_
#define DATA_OPS_TOKENIZER_WORK_SPLIT_H_

#include <cstddef>
#include <functional>
#include <vector>

#include "data_ops/tokenizer/status.h"

namespace data_ops {

// Splits [0, count) into at most `max_parts` contiguous ranges, none of them
// empty, whose summed `cost` is about equal and at least `min_cost` (the last
// may be cheaper): below that a thread costs more than it saves.
//
// Returns the borders: part i is [borders[i], borders[i + 1]). Always begins
// with 0 and ends with `count`, so it has one element when `count` is 0.
std::vector<size_t> BalancedBorders(size_t count, size_t max_parts,
                                    size_t min_cost,
                                    const std::function<size_t(size_t)>& cost);

// Elements [begin, end), the range `index` of several, in the hands of thread
// number `thread` of those that share the work.
struct Part {
  size_t index, begin, end;
  size_t thread;
};

// How many ranges per thread make up for threads that are slower than others.
constexpr size_t kPartsPerThread = 16;

// Calls `body` for every range of `borders` on at most `threads` threads, the
// caller's and some of the pool's, each of which takes the next range when it
// is done with one. Returns the first error in order of index. An exception in
// `body` becomes a status.
Status RunParts(const std::vector<size_t>& borders, size_t threads,
                const std::function<Status(const Part&)>& body);

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_WORK_SPLIT_H_
