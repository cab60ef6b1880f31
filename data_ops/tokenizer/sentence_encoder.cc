// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/sentence_encoder.h"

#include <algorithm>

#include "builtin_pb/sentencepiece.pb.h"
#include "sentencepiece_processor.h"

namespace data_ops {
namespace {

Status FromLibrary(const sentencepiece::util::Status& status) {
  return Status(StatusCode::kInternal,
                std::string("sentencepiece: ") + status.message());
}

}  // namespace

Status SentenceEncoder::Encode(const std::string_view* texts, size_t count,
                               size_t max_ids, IdBuffer* ids,
                               std::vector<int64_t>* ends) {
  for (size_t i = 0; i < count; ++i) {
    normalizer_.Normalize(texts[i], &normalized_);
    viterbi_.Exact(normalized_, 0);
    const size_t begin = ids->size();
    int32_t previous = -1;
    for (const Token& token : viterbi_.tokens()) {
      // Characters without a piece share one id.
      if (token.id == lexicon_.unk_id() && previous == token.id) continue;
      if (ids->size() - begin == max_ids) break;
      ids->Append(token.id);
      previous = token.id;
    }
    ends->push_back(static_cast<int64_t>(ids->size()));
  }
  return Status();
}

void SentenceEncoder::EncodeWithSpans(std::string_view text,
                                      std::vector<TokenSpan>* tokens) {
  tokens->clear();
  normalizer_.Normalize(text, &normalized_, &alignment_);
  viterbi_.Exact(normalized_, 0);
  size_t begin = 0;
  for (const Token& token : viterbi_.tokens()) {
    const auto from = static_cast<int64_t>(alignment_[begin]);
    const auto to = static_cast<int64_t>(alignment_[token.end]);
    begin = token.end;
    if (token.id == lexicon_.unk_id() && !tokens->empty() &&
        tokens->back().id == token.id) {
      tokens->back().end = to;
    } else {
      tokens->push_back({token.id, from, to});
    }
  }
}

Status LibraryEncoder::Encode(const std::string_view* texts, size_t count,
                              size_t max_ids, IdBuffer* ids,
                              std::vector<int64_t>* ends) {
  std::vector<int> row;
  for (size_t i = 0; i < count; ++i) {
    const auto status = processor_.Encode(texts[i], &row);
    if (!status.ok()) return FromLibrary(status);
    const size_t kept = std::min(row.size(), max_ids);
    ids->Reserve(kept);
    std::copy_n(row.begin(), kept, ids->data() + ids->size());
    ids->set_size(ids->size() + kept);
    ends->push_back(static_cast<int64_t>(ids->size()));
  }
  return Status();
}

Status LibraryEncoder::EncodeWithSpans(std::string_view text,
                                       std::vector<TokenSpan>* tokens) {
  sentencepiece::SentencePieceText encoded;
  const auto status = processor_.Encode(text, &encoded);
  if (!status.ok()) return FromLibrary(status);
  tokens->clear();
  for (const auto& piece : encoded.pieces()) {
    tokens->push_back({static_cast<int32_t>(piece.id()),
                       static_cast<int64_t>(piece.begin()),
                       static_cast<int64_t>(piece.end())});
  }
  return Status();
}

}  // namespace data_ops
