// SPDX-License-Identifier: Apache-2.0
//
// Finds the runs of characters between white spaces, for many texts at once.
//
//   "ab  c"  ->  [0, 2) [4, 5)
//
// The texts are copied, each to a multiple of ByteClasses::kBlock with white
// space behind it, so that whoever reads a word may read 32 bytes at once.

#ifndef DATA_OPS_TOKENIZER_WORD_SCANNER_H_
#define DATA_OPS_TOKENIZER_WORD_SCANNER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/byte_classes.h"

namespace data_ops {

// A word is bytes [begin, end) of data().
struct WordSpan {
  uint32_t begin, end;
};

class WordScanner {
 public:
  // As much as may be read behind the last byte of any word.
  static constexpr size_t kReadAhead = 64;

  // ' ' must be a white space of `classes`, which must outlive this.
  explicit WordScanner(const ByteClasses* classes) : classes_(*classes) {}

  // Forgets all texts.
  void Clear() {
    bytes_ = 0;
    word_count_ = 0;
  }

  // Adds the words of `text`, of less than 2^31 bytes.
  void Scan(std::string_view text);

  const char* data() const { return text_.data(); }
  const WordSpan* words() const { return words_.data(); }
  size_t word_count() const { return word_count_; }
  // Bytes copied so far.
  size_t bytes() const { return bytes_; }

 private:
  const ByteClasses& classes_;
  // Neither ever shrinks, so that they are filled with zeros only once.
  std::vector<char> text_;
  std::vector<WordSpan> words_;
  std::vector<uint64_t> spaces_;
  size_t bytes_ = 0, word_count_ = 0;
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_WORD_SCANNER_H_
