// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "data_ops/tokenizer/check.h"

#ifdef __SANITIZE_THREAD__
// A child of a process with threads may not start any under ThreadSanitizer,
// unless told otherwise.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace data_ops {
namespace {

// How often each of `count` calls was made.
std::vector<int> Calls(size_t count) {
  std::vector<std::atomic<int>> calls(count);
  ThreadPool::Get().Run(count, [&](size_t i) { ++calls[i]; });
  return std::vector<int>(calls.begin(), calls.end());
}

TEST(EveryCallIsMadeOnce) {
  for (const size_t count : {0, 1, 2, 7, 300}) {
    CHECK_EQ(Calls(count), std::vector<int>(count, 1));
  }
}

TEST(CallsRunAtTheSameTime) {
  // Each waits for the other: one thread alone would never return.
  std::atomic<int> arrived = 0;
  ThreadPool::Get().Run(2, [&](size_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK_EQ(arrived, 2);
}

TEST(ThreadsAreUsedAgain) {
  std::mutex mutex;
  std::set<std::thread::id> seen;
  for (int round = 0; round < 200; ++round) {
    ThreadPool::Get().Run(3, [&](size_t) {
      const std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
  }
  // Those of this program's tests so far at most, and this one.
  CHECK(seen.size() < 300);
}

TEST(ManyThreadsAndTasksMayCall) {
  std::vector<std::thread> threads;
  std::atomic<int> calls = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        ThreadPool::Get().Run(3, [&](size_t) {
          ThreadPool::Get().Run(2, [&](size_t) { ++calls; });
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(calls, 4 * 100 * 3 * 2);
}

TEST(AForkedProcessHasThreadsOfItsOwn) {
  CHECK_EQ(Calls(4), std::vector<int>(4, 1));
  const pid_t child = fork();
  if (child == 0) {
    // Without a pool of its own it would wait for ever; the alarm ends that.
    alarm(20);
    _exit(Calls(4) == std::vector<int>(4, 1) ? 0 : 1);
  }
  int status = -1;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
