// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_PARALLEL_H_
#define ARRAY_OPS_PARALLEL_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace soft_prompts {

// Runs `task(i)` for `0 <= i < count` on the calling thread and those of XLA's
// pool, and returns when all are done: success, or the first exception's words.
//
// The caller works too and waits only for what another thread has begun, so a
// pool whose every thread waits here still comes to an end.
template <typename Task>
xla::ffi::Error InParallel(xla::ffi::ThreadPool pool, int64_t count,
                           const Task& task) {
  struct Shared {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable all_done;
    int64_t done = 0;
    std::string message;
  };
  auto shared = std::make_shared<Shared>();
  // Who comes late finds no number left, and does not look at `task`.
  auto work = [shared, count, &task] {
    for (int64_t i = shared->next++; i < count; i = shared->next++) {
      std::string message;
      try {
        task(i);
      } catch (const std::exception& error) {
        message = error.what();
      }
      std::lock_guard<std::mutex> lock(shared->mutex);
      if (shared->message.empty()) shared->message = message;
      if (++shared->done == count) shared->all_done.notify_all();
    }
  };
  for (int64_t i = 1; i < count; ++i) pool.Schedule(decltype(work)(work));
  work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->all_done.wait(lock, [&] { return shared->done == count; });
  if (!shared->message.empty()) {
    return xla::ffi::Error::Internal(shared->message);
  }
  return xla::ffi::Error::Success();
}

}  // namespace soft_prompts

#endif  // ARRAY_OPS_PARALLEL_H_
