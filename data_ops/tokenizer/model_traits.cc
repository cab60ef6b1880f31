// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/model_traits.h"

#include <cmath>
#include <string>

#include "builtin_pb/sentencepiece_model.pb.h"
#include "data_ops/tokenizer/utf8.h"

namespace data_ops {
namespace {

using sentencepiece::ModelProto;
using sentencepiece::TrainerSpec;
using Type = ModelProto::SentencePiece;

// Far beyond any log probability, and far from where a sum of scores over the
// longest text could overflow.
constexpr float kMaxScore = 1e6f;

bool IsText(const ModelProto::SentencePiece& piece) {
  return piece.type() == Type::NORMAL || piece.type() == Type::USER_DEFINED;
}

std::string WhyPieceIsOdd(const ModelProto::SentencePiece& piece) {
  if (!(std::fabs(piece.score()) <= kMaxScore)) {
    return "has a score that is no log probability";
  }
  if (piece.piece().find('\0') != std::string::npos) return "holds a NUL";
  if (!IsWellFormed(piece.piece())) return "is not UTF-8";
  return "";
}

std::string WhyNotByWord(const ModelProto& model, const Normalizer& normalizer,
                         const Lexicon& lexicon) {
  const NormalizerOptions& options = normalizer.options();
  if (!options.escape_whitespaces) return "white space is not escaped";
  if (!options.add_dummy_prefix) return "no space is put before the text";
  if (!options.remove_extra_whitespaces) return "extra white space is kept";
  if (options.whitespace_as_suffix) return "white space ends words";
  for (int id = 0; id < model.pieces_size(); ++id) {
    const auto& piece = model.pieces(id);
    if (IsText(piece) &&
        piece.piece().find(kSpaceMark, 1) != std::string::npos) {
      return "piece " + std::to_string(id) + " reaches over white space";
    }
  }
  const int32_t mark = lexicon.trie().Find(kSpaceMark);
  if (mark == PieceTrie::kNoId || lexicon.user_defined(mark)) {
    return "white space alone is not a piece";
  }
  if (!normalizer.runs_are_independent()) {
    return "a rule of normalization or a user-defined symbol reaches over "
           "white space";
  }
  return "";
}

}  // namespace

std::string_view Name(ExactMode mode) {
  switch (mode) {
    case ExactMode::kWordCache:
      return "word_cache";
    case ExactMode::kFullViterbi:
      return "full_viterbi";
    case ExactMode::kLibrary:
      return "library";
  }
  return "";
}

std::vector<LexiconPiece> TextPieces(const ModelProto& model) {
  std::vector<LexiconPiece> pieces;
  pieces.reserve(static_cast<size_t>(model.pieces_size()));
  for (int id = 0; id < model.pieces_size(); ++id) {
    const auto& piece = model.pieces(id);
    if (!IsText(piece)) continue;
    pieces.push_back(
        {piece.piece(), id, piece.score(), piece.type() == Type::USER_DEFINED});
  }
  return pieces;
}

std::string WhyLibraryOnly(const ModelProto& model) {
  switch (model.trainer_spec().model_type()) {
    case TrainerSpec::UNIGRAM:
      break;
    case TrainerSpec::BPE:
      return "the model is of type BPE";
    case TrainerSpec::WORD:
      return "the model is of type WORD";
    case TrainerSpec::CHAR:
      return "the model is of type CHAR";
    default:
      return "the model is of an unknown type";
  }
  if (model.trainer_spec().byte_fallback()) {
    return "the model falls back to bytes";
  }
  if (model.self_test_data().samples_size() > 0) {
    return "the model brings tests of itself";
  }
  bool has_normal = false;
  for (int id = 0; id < model.pieces_size(); ++id) {
    const auto& piece = model.pieces(id);
    const std::string odd = WhyPieceIsOdd(piece);
    if (!odd.empty()) return "piece " + std::to_string(id) + " " + odd;
    has_normal |= piece.type() == Type::NORMAL;
  }
  return has_normal ? "" : "no piece is of type NORMAL";
}

ModelTraits Examine(const ModelProto& model, const Normalizer& normalizer,
                    const Lexicon& lexicon) {
  const std::string why_not = WhyNotByWord(model, normalizer, lexicon);
  if (!why_not.empty()) return {ExactMode::kFullViterbi, why_not + "."};
  return {ExactMode::kWordCache, "words are independent but for rounding."};
}

}  // namespace data_ops
