// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/work_split.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <new>
#include <string>

#include "data_ops/tokenizer/thread_pool.h"

namespace data_ops {

std::vector<size_t> BalancedBorders(size_t count, size_t max_parts,
                                    size_t min_cost,
                                    const std::function<size_t(size_t)>& cost) {
  std::vector<size_t> borders = {0};
  if (count == 0) return borders;
  if (max_parts <= 1) return {0, count};
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) total += cost(i);

  const size_t worthwhile = total / std::max<size_t>(min_cost, 1);
  const size_t parts =
      std::max<size_t>(1, std::min({max_parts, worthwhile, count}));
  size_t seen = 0;
  for (size_t i = 0; i + 1 < count && borders.size() < parts; ++i) {
    seen += cost(i);
    // Compares with the ideal border of the running part, not with the cost of
    // that part: errors do not add up.
    if (seen >= total / parts * borders.size()) borders.push_back(i + 1);
  }
  borders.push_back(count);
  return borders;
}

namespace {

// A pooled thread that lets an exception escape ends the process.
Status CallGuarded(const std::function<Status()>& call) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kResourceExhausted,
                  "out of memory; pass fewer texts at a time");
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal, error.what());
  }
}

}  // namespace

Status RunParts(const std::vector<size_t>& borders, size_t threads,
                const std::function<Status(const Part&)>& body) {
  const size_t parts = borders.size() - 1;
  std::vector<Status> statuses(parts);
  std::atomic<size_t> next = 0;
  ThreadPool::Get().Run(std::min(threads, parts), [&](size_t thread) {
    for (size_t i = next++; i < parts; i = next++) {
      const Part part = {i, borders[i], borders[i + 1], thread};
      statuses[i] = CallGuarded([&] { return body(part); });
    }
  });
  for (const Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return Status();
}

}  // namespace data_ops
