// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_GUARDED_NUMBERS_H_
#define ARRAY_OPS_GUARDED_NUMBERS_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <type_traits>

#include "array_ops/strided.h"

// What tests of kernels are made of.

namespace soft_prompts {
namespace {

std::mt19937 generator(1);

int64_t Integer(int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(generator);
}

float Wide(float number) { return number; }

float Wide(Bfloat16 number) {
  const uint32_t bits = static_cast<uint32_t>(number) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

template <typename Number>
Number Narrow(float number) {
  if constexpr (std::is_same<Number, float>::value) {
    return number;
  } else {
    uint32_t bits;
    std::memcpy(&bits, &number, sizeof(bits));
    return static_cast<Number>(bits >> 16);
  }
}

// Numbers whose last one is followed by memory that must not be touched.
template <typename Number>
class Guarded {
 public:
  explicit Guarded(int64_t count) {
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t bytes = count * sizeof(Number);
    const int64_t pages = (bytes + page - 1) / page * page;
    size_ = pages + page;
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    memory_ = static_cast<char*>(memory);
    if (mprotect(memory_ + pages, page, PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<Number*>(memory_ + pages - bytes);
  }
  ~Guarded() { munmap(memory_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  Number* data() const { return data_; }

 private:
  char* memory_;
  int64_t size_;
  Number* data_;
};

}  // namespace
}  // namespace soft_prompts

#endif  // ARRAY_OPS_GUARDED_NUMBERS_H_
