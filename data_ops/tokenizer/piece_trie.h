// SPDX-License-Identifier: Apache-2.0
//
// A set of byte strings with an id each, walked one byte at a time.
//
// A double array: the child of `node` over byte c stands at base(node) ^ c, and
// carries c as its label. No two nodes share a base, so the label alone proves
// whose child it is. One load per byte:
//
//   "a" -> 7, "ab" -> 9        root --a--> (id 7) --b--> (id 9)

#ifndef DATA_OPS_TOKENIZER_PIECE_TRIE_H_
#define DATA_OPS_TOKENIZER_PIECE_TRIE_H_

#include <cstddef>
#include <cstdint>
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

  // Builds a trie of `pieces`, in any order. Returns false, and stays as it
  // was, when a piece is empty or there twice, or when they are too many
  // (some millions).
  bool Build(std::vector<std::pair<std::string_view, int32_t>> pieces);

  // Moves *node along `byte`; false, and nothing moves, when no piece goes on
  // that way.
  bool Step(uint8_t byte, uint32_t* node) const {
    const uint32_t next = (units_[*node].link >> kLabelBits) ^ byte;
    if ((units_[next].link & kLabelMask) != byte) return false;
    *node = next;
    return true;
  }

  // Fetches the node, if there is one, two bytes below the root.
  void Prefetch(uint8_t first, uint8_t second) const {
    const uint32_t child = (units_[kRoot].link >> kLabelBits) ^ first;
    __builtin_prefetch(&units_[(units_[child].link >> kLabelBits) ^ second]);
  }

  // The id of the piece that ends at `node`, or kNoId.
  int32_t Id(uint32_t node) const { return units_[node].id; }

  // The id of `piece`, or kNoId.
  int32_t Find(std::string_view piece) const;

  // The longest piece that `text` begins with, as its length; 0 for none.
  size_t LongestPrefix(std::string_view text) const;

  size_t unit_count() const { return units_.size(); }

 private:
  static constexpr int kLabelBits = 9;
  static constexpr uint32_t kLabelMask = (1u << kLabelBits) - 1;

  struct Unit {
    uint32_t link;  // base << kLabelBits | label
    int32_t id;
  };

  friend class PieceTrieBuilder;
  std::vector<Unit> units_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_PIECE_TRIE_H_
