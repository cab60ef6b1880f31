// SPDX-License-Identifier: Apache-2.0
//
// Ids -> text.
//
//   8774 296 1  ->  "Hello world"

#ifndef DATA_OPS_TOKENIZER_DECODER_H_
#define DATA_OPS_TOKENIZER_DECODER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sentencepiece {
class ModelProto;
}  // namespace sentencepiece

namespace data_ops {

// For models without byte pieces and without rules of denormalization.
// Immutable once created.
class Decoder {
 public:
  static bool CanDecode(const sentencepiece::ModelProto& model);

  // Requires CanDecode(model), which need not outlive this.
  explicit Decoder(const sentencepiece::ModelProto& model);

  // Appends the text of `count` ids, all of them in the vocabulary.
  void Decode(const int32_t* ids, size_t count, std::string* text) const;

 private:
  // Where a piece's text is in texts_, and whether it begins with a space that
  // the start of a text loses.
  struct Surface {
    uint32_t begin;
    uint32_t size : 31;
    uint32_t space : 1;
  };

  std::string texts_;
  std::vector<Surface> surfaces_;
  // A text loses the space it begins with: all of them, or one.
  bool drops_space_ = false, drops_all_spaces_ = false;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_DECODER_H_
