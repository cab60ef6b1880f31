// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/thread_pool.h"

#include <unistd.h>

#include <system_error>
#include <thread>

namespace data_ops {
namespace {

constexpr size_t kMaxThreads = 256;

}  // namespace

ThreadPool& ThreadPool::Get() {
  static std::mutex mutex;
  static ThreadPool* pool = nullptr;
  static pid_t owner = 0;
  const std::lock_guard<std::mutex> lock(mutex);
  // Threads do not survive a fork. The old pool is left as it is: it may be
  // locked by a thread that is no more. Neither is it ever destroyed, for its
  // threads wait until the process ends.
  if (pool == nullptr || owner != getpid()) {
    pool = new ThreadPool;
    owner = getpid();
  }
  return *pool;
}

void ThreadPool::Run(size_t count, const std::function<void(size_t)>& task) {
  if (count == 0) return;
  Job job = {&task, count};
  std::unique_lock<std::mutex> lock(mutex_);
  if (count > 1) {
    StartThreads(count - 1);
    jobs_.push_back(&job);
    work_.notify_all();
  }
  while (job.next < job.count) RunOne(&job, &lock);
  finished_.wait(lock, [&] { return job.done == job.count; });
}

void ThreadPool::StartThreads(size_t wanted) {
  while (threads_ < wanted && threads_ < kMaxThreads) {
    try {
      std::thread([this] { Work(); }).detach();
    } catch (const std::system_error&) {
      return;  // The caller does what the others do not.
    }
    ++threads_;
  }
}

void ThreadPool::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return !jobs_.empty(); });
    RunOne(jobs_.front(), &lock);
  }
}

void ThreadPool::RunOne(Job* job, std::unique_lock<std::mutex>* lock) {
  const size_t call = job->next++;
  if (job->next == job->count) jobs_.remove(job);
  lock->unlock();
  (*job->task)(call);
  lock->lock();
  // The caller may return, and the job be gone, once the last one is counted.
  if (++job->done == job->count) finished_.notify_all();
}

}  // namespace data_ops
