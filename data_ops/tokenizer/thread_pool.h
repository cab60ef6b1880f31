// SPDX-License-Identifier: Apache-2.0
//
// Threads that wait for work, shared by the whole process: starting one for
// every batch would cost more than a small batch.

#ifndef DATA_OPS_TOKENIZER_THREAD_POOL_H_
#define DATA_OPS_TOKENIZER_THREAD_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>

namespace data_ops {

class ThreadPool {
 public:
  // The pool of this process; after a fork, the child gets a new one.
  static ThreadPool& Get();

  // Calls task(0) ... task(count - 1), each once, on the caller's thread and on
  // count - 1 others as far as they are free or the machine lets them start,
  // and returns when all have returned. `task` must not throw. Many threads may
  // call this at once, and a task may.
  void Run(size_t count, const std::function<void(size_t)>& task);

 private:
  struct Job {
    const std::function<void(size_t)>* task;
    size_t count;
    size_t next = 0;  // the first that nobody has taken
    size_t done = 0;
  };

  ThreadPool() = default;

  void StartThreads(size_t wanted);
  void Work();
  // Takes one of the job's calls and makes it. Requires `lock`, which is
  // released meanwhile.
  void RunOne(Job* job, std::unique_lock<std::mutex>* lock);

  std::mutex mutex_;
  std::condition_variable work_, finished_;
  // Those with calls that nobody has taken.
  std::list<Job*> jobs_;
  size_t threads_ = 0;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_THREAD_POOL_H_
