// SPDX-License-Identifier: Apache-2.0
//
// Ids that an encoder has written: grows, does not initialise, keeps its
// memory.

#ifndef DATA_OPS_TOKENIZER_ID_BUFFER_H_
#define DATA_OPS_TOKENIZER_ID_BUFFER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "data_ops/tokenizer/large_array.h"

namespace data_ops {

class IdBuffer {
 public:
  size_t size() const { return size_; }
  const int32_t* data() const { return ids_.begin(); }
  int32_t* data() { return ids_.begin(); }
  void clear() { size_ = 0; }

  // Makes room for `count` more; moves the ids that are there when it must.
  // Room that is not written costs no memory.
  void Reserve(size_t count) {
    if (ids_.size - size_ >= count) return;
    LargeArray<int32_t> larger(std::max(size_ + count, 2 * ids_.size));
    std::copy_n(ids_.begin(), size_, larger.begin());
    ids_ = std::move(larger);
  }

  // Says that the ids up to `size` have been written. Reserve() comes first.
  void set_size(size_t size) { size_ = size; }

  // The ids as an array, which is not null even when it is empty; none are left
  // here.
  LargeArray<int32_t> Take() {
    Reserve(1);
    LargeArray<int32_t> taken = std::move(ids_);
    taken.size = std::exchange(size_, 0);
    return taken;
  }

  void Append(int32_t id) {
    Reserve(1);
    ids_.begin()[size_++] = id;
  }

 private:
  LargeArray<int32_t> ids_;
  size_t size_ = 0;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_ID_BUFFER_H_
