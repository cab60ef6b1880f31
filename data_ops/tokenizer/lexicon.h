// SPDX-License-Identifier: Apache-2.0
//
// The pieces of a unigram model as its dynamic program needs them.

#ifndef DATA_OPS_TOKENIZER_LEXICON_H_
#define DATA_OPS_TOKENIZER_LEXICON_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/piece_trie.h"

namespace data_ops {

// Which releases of sentencepiece the ids are those of. They weigh paths whose
// scores differ by less than float rounding differently: a few texts in a
// thousand get other ids.
enum class Semantics {
  kClassic,  // up to 0.2.1, and tensorflow_text: what T5 was trained with
  k023,      // 0.2.3
};

struct LexiconPiece {
  std::string_view text;
  int32_t id = 0;
  float score = 0;
  bool user_defined = false;
};

// Immutable once created.
class Lexicon {
 public:
  // Adds this much to the lowest score for a character without a piece.
  static constexpr float kUnknownPenalty = 10.0f;

  // `pieces` are those that text is cut into: NORMAL and USER_DEFINED ones.
  // `vocab_size` is above every id.
  Lexicon(const std::vector<LexiconPiece>& pieces, int32_t unk_id,
          size_t vocab_size, Semantics semantics);

  // False when two pieces were equal or one was empty; nothing else of a broken
  // lexicon may be used.
  bool ok() const { return ok_; }

  const PieceTrie& trie() const { return trie_; }
  Semantics semantics() const { return semantics_; }
  int32_t unk_id() const { return unk_id_; }
  float unk_score() const { return unk_score_; }
  size_t vocab_size() const { return scores_.size(); }

  // The score of a piece, or of a character without one, in float; it is in the
  // trie, too. In `classic`, that of a user-defined piece is a double which
  // float does not hold: here is a little more, ask classic_user_score().
  float score(int32_t id) const { return scores_[static_cast<size_t>(id)]; }
  bool user_defined(int32_t id) const {
    return user_defined_[static_cast<size_t>(id)];
  }
  // The bonus for a user-defined piece of `length` bytes in `classic`.
  double classic_user_score(size_t length) const {
    return static_cast<float>(length) * max_score_ - 0.1;
  }

  // Whether some piece holds `first` and `second` side by side. Where none
  // does, every way to cut a text cuts it between the two.
  bool HasBigram(char first, char second) const {
    return bigrams_[static_cast<uint8_t>(first) * 256u +
                    static_cast<uint8_t>(second)];
  }

 private:
  PieceTrie trie_;
  std::vector<float> scores_;
  std::vector<bool> user_defined_;
  std::bitset<65536> bigrams_;
  float max_score_ = 0;
  float unk_score_ = 0;
  const int32_t unk_id_;
  const Semantics semantics_;
  bool ok_ = false;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_LEXICON_H_
