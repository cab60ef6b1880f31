// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/large_array.h"

#include <sys/mman.h>

#include <new>

namespace data_ops {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{1} << 21;

}  // namespace

void* AllocateLarge(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kCacheLine;
  // The size must be a multiple of the alignment.
  const size_t size = bytes / alignment * alignment + alignment;
  if (size < bytes) throw std::bad_alloc();
  void* memory = std::aligned_alloc(alignment, size);
  if (memory == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (alignment == kHugePage) madvise(memory, size, MADV_HUGEPAGE);
#endif
  return memory;
}

}  // namespace data_ops
