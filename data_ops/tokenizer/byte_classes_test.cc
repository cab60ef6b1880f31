// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/byte_classes.h"

#include <random>
#include <string>
#include <vector>

#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

ByteClasses WithSpaces(const std::string& spaces) {
  ByteClasses classes;
  for (const char c : spaces) classes.Set(c, ByteClasses::kSpace);
  return classes;
}

TEST(BytesAreSpecialUnlessSet) {
  ByteClasses classes = WithSpaces(" ");
  classes.Set('a', ByteClasses::kPlain);
  CHECK_EQ(classes.Get(' '), ByteClasses::kSpace);
  CHECK_EQ(classes.Get('a'), ByteClasses::kPlain);
  CHECK_EQ(classes.Get('b'), ByteClasses::kSpecial);
  CHECK_EQ(classes.Get('\xe2'), ByteClasses::kSpecial);
  classes.Set(' ', ByteClasses::kPlain);
  std::string block(ByteClasses::kBlock, ' ');
  uint64_t spaces = 1;
  classes.CopyAndFindSpaces(block.data(), 1, block.data(), &spaces);
  CHECK_EQ(spaces, 0u);
}

TEST(EveryAsciiByteIsFoundAndNoOther) {
  for (int space = 0; space < 128; ++space) {
    const ByteClasses classes = WithSpaces({static_cast<char>(space)});
    std::string text(256, '\0');
    for (int i = 0; i < 256; ++i) text[i] = static_cast<char>(i);
    std::vector<uint64_t> found(4);
    classes.CopyAndFindSpaces(text.data(), 4, text.data(), found.data());
    for (int i = 0; i < 256; ++i) {
      CHECK_EQ(found[i / 64] >> (i % 64) & 1, uint64_t{i == space});
    }
  }
}

TEST(TheFastAndThePortableWayAgree) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::string spaces;
    for (int byte = 0; byte < 128; ++byte) {
      if (random() % 4 == 0) spaces.push_back(static_cast<char>(byte));
    }
    const ByteClasses classes = WithSpaces(spaces);
    const size_t blocks = random() % 5;
    std::string from(blocks * ByteClasses::kBlock, '\0');
    for (char& c : from) c = static_cast<char>(random());
    std::string fast(from.size(), 'x'), portable(from.size(), 'y');
    std::vector<uint64_t> found(blocks), expected(blocks);
    classes.CopyAndFindSpaces(from.data(), blocks, fast.data(), found.data());
    classes.CopyAndFindSpacesPortably(from.data(), blocks, portable.data(),
                                      expected.data());
    CHECK_EQ(found, expected);
    CHECK_EQ(fast, from);
    CHECK_EQ(portable, from);
  }
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
