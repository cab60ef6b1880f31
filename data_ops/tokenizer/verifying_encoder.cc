// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/verifying_encoder.h"

#include <algorithm>
#include <string>

namespace data_ops {
namespace {

// Of a text in a message.
constexpr size_t kQuotedBytes = 200;

}  // namespace

Status VerifyingEncoder::Encode(const std::string_view* texts, size_t count,
                                size_t max_ids, IdBuffer* ids,
                                std::vector<int64_t>* ends) {
  const size_t first = ends->size();
  size_t begin = ids->size();
  Status status = fast_->Encode(texts, count, max_ids, ids, ends);
  if (!status.ok()) return status;
  std::uniform_real_distribution<double> chance(0, 1);
  for (size_t i = 0; i < count; ++i) {
    const size_t end = static_cast<size_t>((*ends)[first + i]);
    if (chance(random_) < fraction_) {
      expected_.clear();
      expected_ends_.clear();
      status = reference_->Encode(&texts[i], 1, max_ids, &expected_,
                                  &expected_ends_);
      if (!status.ok()) return status;
      if (!std::equal(ids->data() + begin, ids->data() + end, expected_.data(),
                      expected_.data() + expected_.size())) {
        return Status(
            StatusCode::kInternal,
            "the fast and the slow way of encoding give different ids for a "
            "text of " +
                std::to_string(texts[i].size()) +
                " bytes; this is a defect, please report it with the text: " +
                std::string(texts[i].substr(0, kQuotedBytes)));
      }
    }
    begin = end;
  }
  return Status();
}

}  // namespace data_ops
