// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/work_split.h"

#include <atomic>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "data_ops/tokenizer/check.h"
#include "data_ops/tokenizer/status.h"

namespace data_ops {
namespace {

using Borders = std::vector<size_t>;

size_t One(size_t) { return 1; }

TEST(NothingHasNoParts) {
  CHECK_EQ(BalancedBorders(0, 8, 1, One), Borders({0}));
}

TEST(EqualCostsGiveEqualParts) {
  CHECK_EQ(BalancedBorders(8, 4, 1, One), Borders({0, 2, 4, 6, 8}));
  CHECK_EQ(BalancedBorders(3, 8, 1, One), Borders({0, 1, 2, 3}));
}

TEST(PartsFollowTheCostAndNotTheCount) {
  const std::vector<size_t> costs = {1, 1, 1, 1, 100, 1, 99};
  const auto cost = [&](size_t i) { return costs[i]; };
  CHECK_EQ(BalancedBorders(costs.size(), 2, 1, cost), Borders({0, 5, 7}));
}

TEST(CheapWorkStaysInOnePart) {
  CHECK_EQ(BalancedBorders(10, 4, 100, One), Borders({0, 10}));
  CHECK_EQ(BalancedBorders(10, 4, 5, One), Borders({0, 5, 10}));
}

TEST(NoPartIsEmptyWhereverTheWeightLies) {
  for (size_t heavy = 0; heavy < 20; ++heavy) {
    for (size_t parts = 1; parts < 25; ++parts) {
      const auto cost = [&](size_t i) { return i == heavy ? 1000u : 0u; };
      const Borders borders = BalancedBorders(20, parts, 1, cost);
      CHECK_EQ(borders.front(), 0u);
      CHECK_EQ(borders.back(), 20u);
      CHECK(borders.size() <= parts + 1);
      for (size_t i = 1; i < borders.size(); ++i) {
        CHECK(borders[i - 1] < borders[i]);
      }
    }
  }
}

TEST(EveryElementIsVisitedOnce) {
  std::vector<std::atomic<int>> visits(1000);
  const auto visit = [&](const Part& part) {
    for (size_t i = part.begin; i < part.end; ++i) ++visits[i];
    return Status();
  };
  CHECK(RunParts(BalancedBorders(visits.size(), 7, 1, One), 3, visit).ok());
  for (const auto& count : visits) CHECK_EQ(count.load(), 1);
}

TEST(AThreadThatIsDoneTakesMore) {
  // The first range lasts until another thread has done all the others.
  std::vector<size_t> thread_of(8, 99);
  std::atomic<int> done = 0;
  const auto body = [&](const Part& part) {
    thread_of[part.index] = part.thread;
    while (part.index == 0 && done < 7) std::this_thread::yield();
    ++done;
    return Status();
  };
  CHECK(RunParts(BalancedBorders(8, 8, 1, One), 2, body).ok());
  for (size_t i = 1; i < 8; ++i) CHECK_EQ(thread_of[i], 1 - thread_of[0]);
}

TEST(TheFirstErrorInOrderIsReturned) {
  const Status status = RunParts({0, 1, 2, 3}, 2, [](const Part& part) {
    return part.index == 0 ? Status()
                           : InvalidArgument(std::to_string(part.index));
  });
  CHECK_EQ(status.code(), StatusCode::kInvalidArgument);
  CHECK_EQ(status.message(), "1");
}

TEST(AnExceptionBecomesAStatus) {
  for (const Borders& borders : {Borders{0, 1}, Borders{0, 1, 2}}) {
    const Status failed = RunParts(borders, 2, [](const Part&) -> Status {
      throw std::runtime_error("broken");
    });
    CHECK_EQ(failed.code(), StatusCode::kInternal);
    CHECK_EQ(failed.message(), "broken");
    const Status full = RunParts(
        borders, 2, [](const Part&) -> Status { throw std::bad_alloc(); });
    CHECK_EQ(full.code(), StatusCode::kResourceExhausted);
  }
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
