// SPDX-License-Identifier: Apache-2.0
//
// Arrays that are not filled before they are written. Large ones ask for huge
// pages: getting memory four kilobytes at a time would be a tenth of the time
// of encoding into it.

#ifndef DATA_OPS_TOKENIZER_LARGE_ARRAY_H_
#define DATA_OPS_TOKENIZER_LARGE_ARRAY_H_

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <type_traits>
#include <utility>

namespace data_ops {

// At least `bytes` bytes that std::free returns, aligned to 64. Throws
// std::bad_alloc.
void* AllocateLarge(size_t bytes);

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

template <typename T>
struct LargeArray {
  static_assert(std::is_trivial_v<T>, "elements are not constructed");

  std::unique_ptr<T[], FreeMemory> values;
  size_t size = 0;

  LargeArray() = default;
  LargeArray(LargeArray&& other) noexcept { *this = std::move(other); }
  LargeArray& operator=(LargeArray&& other) noexcept {
    values = std::move(other.values);
    size = std::exchange(other.size, 0);
    return *this;
  }
  explicit LargeArray(size_t count)
      : values(static_cast<T*>(AllocateLarge(count * sizeof(T)))),
        size(count) {}
  T* begin() const { return values.get(); }
  T* end() const { return values.get() + size; }
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_LARGE_ARRAY_H_
