// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/word_scanner.h"

#include <cstring>

namespace data_ops {
namespace {

constexpr size_t kBlock = ByteClasses::kBlock;

template <typename T>
void GrowTo(size_t size, std::vector<T>* values) {
  if (values->size() < size) values->resize(size + size / 2);
}

}  // namespace

void WordScanner::Scan(std::string_view text) {
  // The last block is never full: a white space ends the last word.
  const size_t whole = text.size() / kBlock;
  const size_t tail = text.size() % kBlock;
  GrowTo(bytes_ + (whole + 1) * kBlock + kReadAhead, &text_);
  GrowTo(word_count_ + text.size() / 2 + 1, &words_);
  GrowTo(whole + 1, &spaces_);

  char* const to = text_.data() + bytes_;
  char* const last = to + whole * kBlock;
  classes_.CopyAndFindSpaces(text.data(), whole, to, spaces_.data());
  if (tail > 0) std::memcpy(last, text.data() + whole * kBlock, tail);
  std::memset(last + tail, ' ', kBlock - tail);
  classes_.CopyAndFindSpaces(last, 1, last, &spaces_[whole]);

  WordSpan* words = words_.data() + word_count_;
  uint64_t after_space = 1;
  uint32_t begin = 0;
  uint32_t block = static_cast<uint32_t>(bytes_);
  for (size_t b = 0; b <= whole; ++b, block += kBlock) {
    const uint64_t spaces = spaces_[b];
    // Where words begin and end, in turn.
    uint64_t edges = spaces ^ (spaces << 1 | after_space);
    if (!after_space && edges != 0) {
      *words++ = {begin, block + static_cast<uint32_t>(__builtin_ctzll(edges))};
      edges &= edges - 1;
    }
    while (edges != 0) {
      begin = block + static_cast<uint32_t>(__builtin_ctzll(edges));
      edges &= edges - 1;
      if (edges == 0) break;
      *words++ = {begin, block + static_cast<uint32_t>(__builtin_ctzll(edges))};
      edges &= edges - 1;
    }
    after_space = spaces >> 63;
  }
  word_count_ = static_cast<size_t>(words - words_.data());
  bytes_ += (whole + 1) * kBlock;
}

}  // namespace data_ops
