// SPDX-License-Identifier: Apache-2.0
//
// A set of byte strings with an id and a score each, walked one byte at a time.
//
// A double array: the child of `node` over byte c stands at base(node) ^ c, and
// carries c as its label. No two nodes share a base, so the label alone proves
// whose child it is. One load of eight bytes per byte, and another for the id
// of a piece:
//
//   "a" -> 7, "ab" -> 9        root --a--> (id 7) --b--> (id 9)

#ifndef DATA_OPS_TOKENIZER_PIECE_TRIE_H_
#define DATA_OPS_TOKENIZER_PIECE_TRIE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace data_ops {

class PieceTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr int32_t kNoId = -1;

  // Holds nothing; every walk ends at once.
  PieceTrie();

  // What does not end a piece scores this.
  static constexpr float kNoScore = -std::numeric_limits<float>::infinity();

  // Builds a trie of `pieces`, in any order. Piece `id` scores scores[id], or 0
  // where that is none. Returns false, and stays as it was, when a piece is
  // empty or there twice, or when they are too many (some millions).
  bool Build(std::vector<std::pair<std::string_view, int32_t>> pieces,
             const std::vector<float>& scores = {});

  // Moves *node along `byte`; false, and nothing moves, when no piece goes on
  // that way.
  bool Step(uint8_t byte, uint32_t* node) const {
    const uint32_t next = Base(units_[*node].links) ^ byte;
    if ((units_[next].links & kLabelMask) != byte) return false;
    *node = next;
    return true;
  }

  // Fetches the node, if there is one, two bytes below the root.
  void Prefetch(uint8_t first, uint8_t second) const {
    const uint32_t child = Base(units_[kRoot].links) ^ first;
    __builtin_prefetch(&units_[Base(units_[child].links) ^ second]);
  }

  // The id of the piece that ends at `node`, or kNoId.
  int32_t Id(uint32_t node) const {
    return units_[node].links & kEndBit ? ids_[node] : kNoId;
  }

  // The score of the piece that ends at `node`, or kNoScore.
  float Score(uint32_t node) const { return units_[node].score; }

  // The id of `piece`, or kNoId.
  int32_t Find(std::string_view piece) const;

  // The longest piece that `text` begins with, as its length; 0 for none.
  size_t LongestPrefix(std::string_view text) const;

  size_t unit_count() const { return units_.size(); }

 private:
  // `links` is base << kBaseShift | whether a piece ends | label.
  struct Unit {
    uint32_t links;
    float score;
  };
  static constexpr uint32_t kLabelMask = (1u << 9) - 1;
  static constexpr uint32_t kEndBit = 1u << 9;
  static constexpr int kBaseShift = 10;

  static uint32_t Base(uint32_t links) { return links >> kBaseShift; }

  friend class PieceTrieBuilder;
  std::vector<Unit> units_;
  std::vector<int32_t> ids_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_PIECE_TRIE_H_
