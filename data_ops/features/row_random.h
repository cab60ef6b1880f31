// SPDX-License-Identifier: Apache-2.0
//
// Random numbers for one row of a data set: a function of the seed and of the
// row's number alone, hence the same however rows are batched, threaded or
// resumed.

#ifndef DATA_OPS_FEATURES_ROW_RANDOM_H_
#define DATA_OPS_FEATURES_ROW_RANDOM_H_

#include <cstdint>

namespace data_ops {

// SplitMix64 (Steele, Lea and Flood, 2014): a counter and a mixer.
class RowRandom {
 public:
  // Streams of one row that must not depend on one another have other names.
  RowRandom(uint64_t seed, uint64_t row, uint64_t stream)
      : counter_(Mix(Mix(Mix(seed) ^ row) ^ stream)) {}

  // Uniform in [0, bound), but for less than bound / 2^64. `bound` is positive.
  uint64_t Below(uint64_t bound) {
    counter_ += kStep;
    return static_cast<uint64_t>(
        static_cast<unsigned __int128>(Mix(counter_)) * bound >> 64);
  }

 private:
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15;

  static uint64_t Mix(uint64_t x) {
    x += kStep;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  uint64_t counter_;
};

}  // namespace data_ops

#endif  // DATA_OPS_FEATURES_ROW_RANDOM_H_
