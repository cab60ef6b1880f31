// SPDX-License-Identifier: Apache-2.0
//
// What single bytes are to a tokenizer, and a fast search for white space.

#ifndef DATA_OPS_TOKENIZER_BYTE_CLASSES_H_
#define DATA_OPS_TOKENIZER_BYTE_CLASSES_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace data_ops {

class ByteClasses {
 public:
  enum Class : uint8_t {
    kSpecial,  // only the normalizer knows; all bytes above 0x7f
    kPlain,    // ASCII that stays what it is, before any other ASCII
    kSpace,    // ASCII that becomes a space
  };

  static constexpr size_t kBlock = 64;

  // Every byte is special.
  ByteClasses() = default;

  // `c` is ASCII.
  void Set(char c, Class value);
  Class Get(char c) const { return classes_[static_cast<uint8_t>(c)]; }

  // Copies `blocks` * kBlock bytes from `from` to `to` and sets bit i of
  // spaces[b] when byte b * kBlock + i is a white space. The two ranges are the
  // same or do not overlap. Uses the widest instructions of this machine.
  void CopyAndFindSpaces(const char* from, size_t blocks, char* to,
                         uint64_t* spaces) const;

  // The same one byte at a time, for any machine.
  void CopyAndFindSpacesPortably(const char* from, size_t blocks, char* to,
                                 uint64_t* spaces) const;

 private:
  void CopyAndFindSpacesAvx2(const char* from, size_t blocks, char* to,
                             uint64_t* spaces) const;

  std::array<Class, 256> classes_ = {};
  // Bit h of space_rows_[l] says whether the byte 16 * h + l is a white space.
  std::array<uint8_t, 16> space_rows_ = {};
};

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_BYTE_CLASSES_H_
