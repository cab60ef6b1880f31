// SPDX-License-Identifier: Apache-2.0
//
// What every way of encoding has in common. A row encoder is for one thread at
// a time: it owns the scratch memory and the cache of its way.

#ifndef DATA_OPS_TOKENIZER_ROW_ENCODER_H_
#define DATA_OPS_TOKENIZER_ROW_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/id_buffer.h"
#include "data_ops/tokenizer/status.h"

namespace data_ops {

class RowEncoder {
 public:
  virtual ~RowEncoder() = default;

  // Appends the first `max_ids` ids of every text to `ids`, without EOS, and to
  // `ends` where in `ids` each text ends.
  virtual Status Encode(const std::string_view* texts, size_t count,
                        size_t max_ids, IdBuffer* ids,
                        std::vector<int64_t>* ends) = 0;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_ROW_ENCODER_H_
