// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/lexicon.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <utility>

namespace data_ops {

Lexicon::Lexicon(const std::vector<LexiconPiece>& pieces, int32_t unk_id,
                 size_t vocab_size, Semantics semantics)
    : scores_(vocab_size, 0.0f),
      user_defined_(vocab_size, false),
      unk_id_(unk_id),
      semantics_(semantics) {
  float min_score = FLT_MAX;
  // The smallest positive float, not the lowest: so begins the library.
  max_score_ = FLT_MIN;
  std::vector<std::pair<std::string_view, int32_t>> entries;
  entries.reserve(pieces.size());
  for (const LexiconPiece& piece : pieces) {
    const size_t id = static_cast<size_t>(piece.id);
    entries.push_back({piece.text, piece.id});
    user_defined_[id] = piece.user_defined;
    if (piece.user_defined) {
      // 0.2.3: a tenth for each byte but the first, computed in double.
      scores_[id] = static_cast<float>(
          0.1 * (static_cast<double>(piece.text.size()) - 1));
    } else {
      scores_[id] = piece.score;
      min_score = std::min(min_score, piece.score);
      max_score_ = std::max(max_score_, piece.score);
    }
    for (size_t i = 1; i < piece.text.size(); ++i) {
      bigrams_.set(static_cast<uint8_t>(piece.text[i - 1]) * 256u +
                   static_cast<uint8_t>(piece.text[i]));
    }
  }
  unk_score_ = min_score - kUnknownPenalty;
  scores_[static_cast<size_t>(unk_id)] = unk_score_;
  if (semantics == Semantics::kClassic) {
    for (const LexiconPiece& piece : pieces) {
      if (!piece.user_defined) continue;
      scores_[static_cast<size_t>(piece.id)] = std::nextafter(
          static_cast<float>(classic_user_score(piece.text.size())), FLT_MAX);
    }
  }
  ok_ = trie_.Build(std::move(entries), scores_);
}

}  // namespace data_ops
