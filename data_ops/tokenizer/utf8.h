// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 as SentencePiece reads it.

#ifndef DATA_OPS_TOKENIZER_UTF8_H_
#define DATA_OPS_TOKENIZER_UTF8_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace data_ops {

// U+2581, which stands for a space inside of pieces.
inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81";
inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

inline bool IsAscii(char c) { return static_cast<uint8_t>(c) < 0x80; }
inline bool IsTrailByte(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) == 0x80;
}

// The length that a first byte promises; 1 for a trail byte.
inline size_t CharLength(char first) {
  return static_cast<size_t>(
      "\1\1\1\1\1\1\1\1\1\1\1\1\2\2\3\4"[static_cast<uint8_t>(first) >> 4]);
}

// The length of the well-formed character that `text` (not empty) begins with,
// or 0. Surrogates, overlong forms and what is above U+10FFFF are not well
// formed.
inline size_t WellFormedLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto trail = [&](size_t i) {
    return text.size() > i && IsTrailByte(text[i]);
  };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4 || !trail(1)) return 0;
  if (first < 0xe0) return 2;
  const uint8_t second = byte(1);
  if (first < 0xf0) {
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second > 0x9f) return 0;
    return trail(2) ? 3 : 0;
  }
  if (first == 0xf0 && second < 0x90) return 0;
  if (first == 0xf4 && second > 0x8f) return 0;
  return trail(2) && trail(3) ? 4 : 0;
}

inline bool IsWellFormed(std::string_view text) {
  while (!text.empty()) {
    const size_t length = WellFormedLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_UTF8_H_
