// SPDX-License-Identifier: Apache-2.0
//
// The two slow ways of encoding: a whole text at a time. They are for models
// whose words depend on one another, and the yardstick for the fast one.

#ifndef DATA_OPS_TOKENIZER_SENTENCE_ENCODER_H_
#define DATA_OPS_TOKENIZER_SENTENCE_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/lexicon.h"
#include "data_ops/tokenizer/normalizer.h"
#include "data_ops/tokenizer/row_encoder.h"
#include "data_ops/tokenizer/viterbi.h"

namespace sentencepiece {
class SentencePieceProcessor;
}  // namespace sentencepiece

namespace data_ops {

// A token and the bytes of the text it stands for.
struct TokenSpan {
  int32_t id;
  int64_t begin, end;
};

// Our own normalizer, then Viterbi::Exact, for any unigram model.
class SentenceEncoder : public RowEncoder {
 public:
  // Both must outlive this.
  SentenceEncoder(const Normalizer* normalizer, const Lexicon* lexicon)
      : normalizer_(*normalizer), lexicon_(*lexicon), viterbi_(lexicon) {}

  Status Encode(const std::string_view* texts, size_t count, size_t max_ids,
                IdBuffer* ids, std::vector<int64_t>* ends) override;

  // The tokens of one text with the bytes that each comes from.
  void EncodeWithSpans(std::string_view text, std::vector<TokenSpan>* tokens);

 private:
  const Normalizer& normalizer_;
  const Lexicon& lexicon_;
  Viterbi viterbi_;
  std::string normalized_;
  std::vector<size_t> alignment_;
};

// sentencepiece itself.
class LibraryEncoder : public RowEncoder {
 public:
  // `processor` must outlive this.
  explicit LibraryEncoder(
      const sentencepiece::SentencePieceProcessor* processor)
      : processor_(*processor) {}

  Status Encode(const std::string_view* texts, size_t count, size_t max_ids,
                IdBuffer* ids, std::vector<int64_t>* ends) override;

  Status EncodeWithSpans(std::string_view text, std::vector<TokenSpan>* tokens);

 private:
  const sentencepiece::SentencePieceProcessor& processor_;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_SENTENCE_ENCODER_H_
