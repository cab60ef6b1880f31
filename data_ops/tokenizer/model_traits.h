// SPDX-License-Identifier: Apache-2.0
//
// Decides, from what is in a model, which fast way of encoding is exact for it.

#ifndef DATA_OPS_TOKENIZER_MODEL_TRAITS_H_
#define DATA_OPS_TOKENIZER_MODEL_TRAITS_H_

#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/lexicon.h"
#include "data_ops/tokenizer/normalizer.h"

namespace sentencepiece {
class ModelProto;
}  // namespace sentencepiece

namespace data_ops {

enum class ExactMode {
  kWordCache,    // word by word, with a cache: all of T5's
  kFullViterbi,  // the library's dynamic program over the whole text, our own
  kLibrary,      // sentencepiece itself
};

// "word_cache" and so on.
std::string_view Name(ExactMode mode);

struct ModelTraits {
  ExactMode mode = ExactMode::kLibrary;
  // One sentence: why it is not a faster one.
  std::string reason;
};

// The pieces that text is cut into, as views into `model`.
std::vector<LexiconPiece> TextPieces(const sentencepiece::ModelProto& model);

// Why only the library may encode with `model`; empty when others may.
std::string WhyLibraryOnly(const sentencepiece::ModelProto& model);

// Of a model that others than the library may encode with. `lexicon` and
// `normalizer` are made of it.
ModelTraits Examine(const sentencepiece::ModelProto& model,
                    const Normalizer& normalizer, const Lexicon& lexicon);

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_MODEL_TRAITS_H_
