// SPDX-License-Identifier: Apache-2.0
//
// Encodes one way, and a sample of the texts a second way, and compares.

#ifndef DATA_OPS_TOKENIZER_VERIFYING_ENCODER_H_
#define DATA_OPS_TOKENIZER_VERIFYING_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/row_encoder.h"

namespace data_ops {

class VerifyingEncoder : public RowEncoder {
 public:
  // `fraction`, in (0, 1], is the chance of each text to be compared.
  VerifyingEncoder(std::unique_ptr<RowEncoder> fast,
                   std::unique_ptr<RowEncoder> reference, double fraction)
      : fast_(std::move(fast)),
        reference_(std::move(reference)),
        fraction_(fraction) {}

  // Fails with kInternal, and the text, where the two ways differ.
  Status Encode(const std::string_view* texts, size_t count, size_t max_ids,
                IdBuffer* ids, std::vector<int64_t>* ends) override;

 private:
  const std::unique_ptr<RowEncoder> fast_, reference_;
  const double fraction_;
  std::minstd_rand random_;
  IdBuffer expected_;
  std::vector<int64_t> expected_ends_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_VERIFYING_ENCODER_H_
