// SPDX-License-Identifier: Apache-2.0
//
// Text as typed -> text as the pieces of a model spell it.
//
//   " Ｈello\t world "  ->  "▁Hello▁world"
//
// Knows nothing of ids.

#ifndef DATA_OPS_TOKENIZER_NORMALIZER_H_
#define DATA_OPS_TOKENIZER_NORMALIZER_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data_ops/tokenizer/byte_classes.h"
#include "data_ops/tokenizer/char_map.h"
#include "data_ops/tokenizer/piece_trie.h"

namespace data_ops {

// NormalizerSpec and TrainerSpec.treat_whitespace_as_suffix of a model.
struct NormalizerOptions {
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool whitespace_as_suffix = false;
};

// Immutable once created.
class Normalizer {
 public:
  // `user_symbols` are left alone wherever they stand in a text; none may be
  // empty.
  Normalizer(const NormalizerOptions& options, CharMap map,
             const std::vector<std::string_view>& user_symbols);

  // The normalized `text`. `alignment`, unless null, becomes one longer than
  // the result: byte i of it comes from the character of `text` that begins at
  // alignment[i], and the last element is where the text that counts ends.
  void Normalize(std::string_view text, std::string* normalized,
                 std::vector<size_t>* alignment = nullptr) const;

  // For options as in T5 (escaped, with a dummy prefix, without extra spaces):
  // the normalized `run` of characters between two white spaces, without the
  // mark in front of it. Empty where nothing of it is left. A space that ends
  // it is dropped, since the white space behind the run brings the same one.
  void NormalizeRun(std::string_view run, std::string* normalized) const;

  // How single ASCII bytes fare; see ByteClasses.
  const ByteClasses& byte_classes() const { return classes_; }
  // Whether a run between two white spaces is normalized the same whatever
  // surrounds it.
  bool runs_are_independent() const { return runs_are_independent_; }
  const NormalizerOptions& options() const { return options_; }

 private:
  // Replacement of the start of `text` (not empty) and how much it replaces.
  std::pair<std::string_view, size_t> Prefix(std::string_view text) const;
  std::string_view DropLeadingSpaces(std::string_view text) const;
  void Classify(const std::vector<std::string_view>& user_symbols);

  const NormalizerOptions options_;
  const CharMap map_;
  PieceTrie user_symbols_;
  std::bitset<256> user_symbol_starts_;
  ByteClasses classes_;
  bool runs_are_independent_ = true;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_NORMALIZER_H_
