// SPDX-License-Identifier: Apache-2.0
//
// The best way to cut a normalized text into pieces.
//
// The library keeps one float score that runs along the whole text, so where
// two ways are equally good, rounding decides, and rounding depends on all the
// text before. Two programs follow from that:
//
//   Exact       the library's own arithmetic, from the score it has reached
//   WithMargin  from score 0, in double, and with it how large a score may be
//               reached before rounding could make the library choose otherwise

#ifndef DATA_OPS_TOKENIZER_VITERBI_H_
#define DATA_OPS_TOKENIZER_VITERBI_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/lexicon.h"

namespace data_ops {

// One token: its id and where in the text it ends.
struct Token {
  int32_t id;
  uint32_t end;
};

// What WithMargin finds out about a text.
struct MarginPath {
  static constexpr size_t kMaxIds = 68;

  std::array<int32_t, kMaxIds> ids;
  size_t count = 0;
  // The library takes this path when the score in front of the text has an
  // absolute value of at most `limit`; never for sure when negative.
  float limit = -1;
  // By how much at most the path moves that score.
  float weight = 0;
};

// Scratch memory for one thread.
class Viterbi {
 public:
  // The longest text, in bytes, for WithMargin.
  static constexpr size_t kMaxMarginBytes = MarginPath::kMaxIds;

  // `lexicon` must outlive this.
  explicit Viterbi(const Lexicon* lexicon) : lexicon_(*lexicon) {}

  // Cuts `text`, well-formed UTF-8, and returns the score at its end. `score`
  // is the score at its start: 0 for a whole text. The tokens are in tokens()
  // until the next call; a character without a piece has unk_id().
  float Exact(std::string_view text, float score);
  const std::vector<Token>& tokens() const { return tokens_; }

  // The same from score 0 with the margin; `text` has 1 to kMaxMarginBytes
  // bytes.
  void WithMargin(std::string_view text, MarginPath* path);

 private:
  struct ExactNode {
    float score;
    int32_t id;
    uint32_t start;
  };
  struct MarginNode {
    double best, second;
    // Where in the trie the best piece ends; the root for a character without.
    uint32_t piece;
    uint16_t start, chars;
  };

  template <Semantics kSemantics>
  float Cut(std::string_view text, float score);
  void Backtrack(size_t size);
  // Fills margin_nodes_; returns the largest absolute score of a node.
  double FillMarginNodes(std::string_view text);

  const Lexicon& lexicon_;
  std::vector<ExactNode> nodes_;
  std::vector<Token> tokens_;
  std::array<MarginNode, kMaxMarginBytes + 1> margin_nodes_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_VITERBI_H_
