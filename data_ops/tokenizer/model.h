// SPDX-License-Identifier: Apache-2.0
//
// A loaded SentencePiece model: what every way of encoding and decoding reads.
//
// Models are big and many tokenizers want the same one, so those that are alive
// are shared: loading the same bytes again with the same options costs a
// comparison.

#ifndef DATA_OPS_TOKENIZER_MODEL_H_
#define DATA_OPS_TOKENIZER_MODEL_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "data_ops/tokenizer/decoder.h"
#include "data_ops/tokenizer/lexicon.h"
#include "data_ops/tokenizer/model_traits.h"
#include "data_ops/tokenizer/normalizer.h"
#include "data_ops/tokenizer/status.h"

namespace sentencepiece {
class ModelProto;
class SentencePieceProcessor;
}  // namespace sentencepiece

namespace data_ops {

struct ModelOptions {
  // How many sentinels to append after the pieces of the model, as SeqIO's
  // vocabulary does. Leave 0 for a model that already holds them.
  int extra_ids = 0;
  // <extra_id_0> gets the highest id (T5's span corruption counts down) rather
  // than the lowest of the sentinels.
  bool reverse_extra_ids = true;
  Semantics semantics = Semantics::kClassic;

  bool operator==(const ModelOptions& other) const {
    return extra_ids == other.extra_ids &&
           reverse_extra_ids == other.reverse_extra_ids &&
           semantics == other.semantics;
  }
};

// Immutable once loaded, hence safe to use from many threads at once.
class Model {
 public:
  // `bytes` is the content of a .model file. Fails with kInvalidArgument for
  // bytes that are not a whole SentencePiece model, for a model that could
  // lead encoding astray, and for options that do not fit the model.
  static StatusOr<std::shared_ptr<const Model>> Load(
      std::string_view bytes, const ModelOptions& options);

  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelTraits& traits() const { return traits_; }
  // Null in ExactMode::kLibrary.
  const Lexicon* lexicon() const { return lexicon_.get(); }
  const Normalizer* normalizer() const { return normalizer_.get(); }
  // Null where only the library decodes.
  const Decoder* decoder() const { return decoder_.get(); }

  // sentencepiece itself, loaded when first asked for.
  StatusOr<const sentencepiece::SentencePieceProcessor*> Library() const;

  // Pieces of the model and extra ids together.
  int vocab_size() const;
  // -1 where the model has no such symbol.
  int bos_id() const { return bos_id_; }
  int eos_id() const { return eos_id_; }
  int pad_id() const { return pad_id_; }
  int unk_id() const { return unk_id_; }
  // `id` is in [0, vocab_size()).
  const std::string& IdToPiece(int id) const;
  // unk_id() for a piece that the model does not have.
  int PieceToId(std::string_view piece) const;

  // The model with the extra ids in it, in the format of a .model file.
  std::string Serialized() const;

 private:
  Model(std::string_view bytes, const ModelOptions& options);

  static StatusOr<std::shared_ptr<const Model>> LoadAnew(
      std::string_view bytes, const ModelOptions& options);
  Status Parse();
  Status AppendExtraIds();
  Status BuildFastWay();
  void FindSpecialIds();

  const std::string bytes_;
  const ModelOptions options_;
  std::unique_ptr<sentencepiece::ModelProto> proto_;
  ModelTraits traits_;
  std::unique_ptr<const Lexicon> lexicon_;
  std::unique_ptr<const Normalizer> normalizer_;
  std::unique_ptr<const Decoder> decoder_;
  // Views into proto_.
  std::unordered_map<std::string_view, int> piece_ids_;
  bool pieces_are_unique_ = true;
  int bos_id_ = -1, eos_id_ = -1, pad_id_ = -1, unk_id_ = -1;

  mutable std::once_flag library_once_;
  mutable std::unique_ptr<sentencepiece::SentencePieceProcessor> library_;
  mutable Status library_status_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_MODEL_H_
