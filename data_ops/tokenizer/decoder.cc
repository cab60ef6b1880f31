// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/decoder.h"

#include <string_view>

#include "builtin_pb/sentencepiece_model.pb.h"
#include "data_ops/tokenizer/utf8.h"

namespace data_ops {
namespace {

using sentencepiece::ModelProto;
using Type = ModelProto::SentencePiece;

constexpr char kUnknownSurface[] = " \xe2\x81\x87 ";

void AppendWithSpaces(std::string_view piece, std::string* text) {
  while (true) {
    const size_t mark = piece.find(kSpaceMark);
    text->append(piece.substr(0, mark));
    if (mark == std::string_view::npos) return;
    text->push_back(' ');
    piece.remove_prefix(mark + kSpaceMark.size());
  }
}

}  // namespace

bool Decoder::CanDecode(const ModelProto& model) {
  for (const auto& piece : model.pieces()) {
    if (piece.type() == Type::BYTE) return false;
  }
  return model.denormalizer_spec().precompiled_charsmap().empty();
}

Decoder::Decoder(const ModelProto& model) {
  const auto& spec = model.normalizer_spec();
  drops_space_ = spec.add_dummy_prefix() || spec.remove_extra_whitespaces();
  drops_all_spaces_ = spec.remove_extra_whitespaces();
  surfaces_.reserve(static_cast<size_t>(model.pieces_size()));
  for (const auto& piece : model.pieces()) {
    Surface surface = {static_cast<uint32_t>(texts_.size()), 0, 0};
    if (piece.type() == Type::UNKNOWN) {
      // Up to a NUL, as the library reads it.
      texts_ += model.trainer_spec().has_unk_surface()
                    ? model.trainer_spec().unk_surface().c_str()
                    : kUnknownSurface;
    } else if (piece.type() != Type::CONTROL) {
      AppendWithSpaces(piece.piece(), &texts_);
      surface.space = piece.piece().rfind(kSpaceMark, 0) == 0;
    }
    surface.size =
        static_cast<uint32_t>(texts_.size() - surface.begin) & 0x7fffffff;
    surfaces_.push_back(surface);
  }
}

void Decoder::Decode(const int32_t* ids, size_t count,
                     std::string* text) const {
  const size_t begin = text->size();
  bool at_start = drops_space_, space_dropped = false;
  for (size_t i = 0; i < count; ++i) {
    const Surface& surface = surfaces_[static_cast<size_t>(ids[i])];
    at_start = at_start && !space_dropped && text->size() == begin;
    const size_t dropped = at_start && surface.space ? 1 : 0;
    space_dropped = dropped > 0 && !drops_all_spaces_;
    text->append(texts_, surface.begin + dropped, surface.size - dropped);
  }
}

}  // namespace data_ops
