// SPDX-License-Identifier: Apache-2.0
//
// The compiled rules of normalization of a model: byte sequences and what
// replaces them, such as "\uff21" -> "A", "\ufb01" -> "fi", "\t" -> " ".
//
// The rules come from a file, so nothing in them is trusted: Create() walks the
// whole automaton once, and refuses what could lead a lookup out of bounds or
// round in circles. The layout is that of Darts-clone, as in every .model file.

#ifndef DATA_OPS_TOKENIZER_CHAR_MAP_H_
#define DATA_OPS_TOKENIZER_CHAR_MAP_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/status.h"

namespace data_ops {

class CharMap {
 public:
  struct Match {
    size_t length = 0;  // of the longest rule that the text begins with
    std::string_view replacement;
  };

  // Replaces nothing.
  CharMap() = default;

  // `blob` is NormalizerSpec.precompiled_charsmap; it is copied.
  static StatusOr<CharMap> Create(std::string_view blob);

  // The longest rule that applies to the start of `text`; length 0 for none.
  Match Find(std::string_view text) const {
    Match match;
    if (units_.empty()) return match;
    uint32_t node = Offset(units_[0]);
    uint32_t value = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const uint8_t byte = static_cast<uint8_t>(text[i]);
      node ^= byte;
      const uint32_t unit = units_[node];
      if (Label(unit) != byte) break;
      node ^= Offset(unit);
      if (HasLeaf(unit)) {
        match.length = i + 1;
        value = Value(units_[node]);
      }
    }
    if (match.length > 0) {
      // A value beyond the replacements switches the rule off.
      if (value >= replacements_.size()) return {};
      match.replacement = replacements_.c_str() + value;
    }
    return match;
  }

  // ASCII bytes that stand in some rule behind its first byte.
  const std::bitset<128>& ascii_inside() const { return ascii_inside_; }
  // ASCII bytes that begin a rule of two bytes or more.
  const std::bitset<128>& ascii_leads() const { return ascii_leads_; }
  // ASCII bytes that begin a rule whose second byte is ASCII too.
  const std::bitset<128>& ascii_pairs() const { return ascii_pairs_; }
  // Whether every replacement is well-formed UTF-8.
  bool well_formed() const { return well_formed_; }

 private:
  friend class CharMapExplorer;

  static bool HasLeaf(uint32_t unit) { return (unit >> 8) & 1; }
  static uint32_t Value(uint32_t unit) { return unit & 0x7fffffff; }
  // The label of a unit that holds a value is no byte.
  static uint32_t Label(uint32_t unit) { return unit & 0x800000ff; }
  static uint32_t Offset(uint32_t unit) {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
  }

  std::vector<uint32_t> units_;
  // Texts, each ended by a NUL; a value is where one begins.
  std::string replacements_;
  std::bitset<128> ascii_inside_;
  std::bitset<128> ascii_leads_;
  std::bitset<128> ascii_pairs_;
  bool well_formed_ = true;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_CHAR_MAP_H_
