// SPDX-License-Identifier: Apache-2.0
//
// Text to ids and back with a SentencePiece model, a batch at a time.
//
//   "Hello world"  ->  8774 296          the T5 vocabulary
//   "Hello world"  ->  8774 296 1 0 0    padded to 5 with EOS = 1
//   "<extra_id_0>" ->  32099             the same vocabulary with 100 extra ids
//
// The ids are those of sentencepiece, to the last one: of the releases up to
// 0.2.1 and of tensorflow_text (Semantics::kClassic), with which every T5 was
// trained, or of 0.2.3. This header knows no Python.

#ifndef DATA_OPS_TOKENIZER_TOKENIZER_H_
#define DATA_OPS_TOKENIZER_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/features/padded_row.h"
#include "data_ops/features/ragged_ids.h"
#include "data_ops/tokenizer/id_buffer.h"
#include "data_ops/tokenizer/model.h"
#include "data_ops/tokenizer/row_encoder.h"
#include "data_ops/tokenizer/sentence_encoder.h"
#include "data_ops/tokenizer/status.h"

namespace data_ops {

struct TokenizerOptions {
  ModelOptions model;
  // Threads of one batch call; 0 means one per processor.
  int num_threads = 0;
  // Memory for remembered words, per thread that encodes at the same time.
  size_t cache_bytes = size_t{16} << 20;
  // The chance of each text to be encoded a second, slow way and compared.
  double verify_fraction = 0;
};

// Safe to use from many threads at once.
//
// Texts are UTF-8. Bytes that are not become U+FFFD, NUL is an ordinary
// character, and a text may be empty.
class Tokenizer {
 public:
  using Texts = std::vector<std::string_view>;

  // The longest text accepted, 64 MiB.
  static constexpr size_t kMaxTextBytes = size_t{1} << 26;

  // `model` is the content of a .model file. Fails with kInvalidArgument as
  // Model::Load and for options out of range.
  static StatusOr<std::unique_ptr<Tokenizer>> Create(
      std::string_view model, const TokenizerOptions& options);

  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // The ids of one text, without EOS.
  StatusOr<std::vector<int32_t>> Encode(std::string_view text) const;

  // The same for every text of a batch.
  StatusOr<RaggedIds> EncodeBatch(const Texts& texts) const;

  // Writes [texts.size(), layout.length] ids, row-major, to `ids`, and to
  // `lengths`, unless it is null, how many ids of each row are not padding.
  Status EncodePadded(const Texts& texts, const PaddedLayout& layout,
                      int32_t* ids, int32_t* lengths) const;

  // The ids of one text with the bytes of it that each stands for. A space in
  // front of a word belongs to its token.
  StatusOr<std::vector<TokenSpan>> EncodeWithSpans(std::string_view text) const;

  // The text of `ids`: control symbols (PAD, EOS) are invisible, UNK is "
  // \u2047 " unless the model says otherwise. Fails with kOutOfRange for an id
  // outside [0, vocab_size()).
  StatusOr<std::string> Decode(const int32_t* ids, size_t count) const;

  // The texts of rows: row i is ids [row_splits[i], row_splits[i + 1]).
  StatusOr<std::vector<std::string>> DecodeRows(const int32_t* ids,
                                                const int64_t* row_splits,
                                                size_t rows) const;

  // Fails with kOutOfRange for an id outside [0, vocab_size()).
  StatusOr<std::string> IdToPiece(int id) const;

  // What the model is and holds.
  const Model& model() const { return *model_; }
  const TokenizerOptions& options() const { return options_; }

 private:
  // What one thread needs while it encodes.
  struct Worker {
    std::unique_ptr<RowEncoder> encoder;
    IdBuffer ids;
    std::vector<int64_t> ends;
  };

  // A worker that is this thread's until it goes out of scope.
  class Lease;

  Tokenizer(std::shared_ptr<const Model> model, const TokenizerOptions& options)
      : model_(std::move(model)), options_(options) {}

  StatusOr<std::unique_ptr<RowEncoder>> NewEncoder() const;
  StatusOr<std::unique_ptr<RowEncoder>> NewReference() const;
  size_t Threads() const;
  std::vector<size_t> BordersByBytes(const Texts& texts) const;
  Status CheckIds(const int32_t* ids, size_t count) const;

  const std::shared_ptr<const Model> model_;
  const TokenizerOptions options_;
  mutable std::mutex mutex_;
  // The one that was used last is handed out first: its memory is warm.
  mutable std::vector<std::unique_ptr<Worker>> idle_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_TOKENIZER_H_
