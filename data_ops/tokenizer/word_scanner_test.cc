// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/word_scanner.h"

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

using Words = std::vector<std::string>;

const ByteClasses& Classes() {
  static const ByteClasses* classes = [] {
    auto* made = new ByteClasses;
    for (const char c : {' ', '\t', '\n'}) made->Set(c, ByteClasses::kSpace);
    return made;
  }();
  return *classes;
}

Words Found(const WordScanner& scanner, size_t first = 0) {
  Words words;
  for (size_t i = first; i < scanner.word_count(); ++i) {
    const WordSpan span = scanner.words()[i];
    words.emplace_back(scanner.data() + span.begin, span.end - span.begin);
  }
  return words;
}

Words Split(std::string_view text) {
  Words words;
  bool inside = false;
  for (const char c : text) {
    if (Classes().Get(c) == ByteClasses::kSpace) {
      inside = false;
    } else {
      if (!inside) words.emplace_back();
      words.back().push_back(c);
      inside = true;
    }
  }
  return words;
}

TEST(RunsBetweenWhiteSpacesAreWords) {
  WordScanner scanner(&Classes());
  scanner.Scan(" ab\t\tc d\n");
  CHECK_EQ(Found(scanner), Words({"ab", "c", "d"}));
  scanner.Scan("");
  scanner.Scan("e");
  CHECK_EQ(Found(scanner, 3), Words({"e"}));
  scanner.Clear();
  CHECK_EQ(scanner.word_count(), 0u);
  CHECK_EQ(scanner.bytes(), 0u);
}

TEST(WordsReachOverBlocks) {
  WordScanner scanner(&Classes());
  for (size_t size = 0; size < 260; ++size) {
    scanner.Clear();
    scanner.Scan(std::string(size, 'a'));
    CHECK_EQ(Found(scanner),
             size == 0 ? Words() : Words({std::string(size, 'a')}));
    scanner.Clear();
    scanner.Scan(std::string(size, ' ') + "b");
    CHECK_EQ(Found(scanner), Words({"b"}));
  }
}

TEST(TextsDoNotRunTogether) {
  WordScanner scanner(&Classes());
  scanner.Scan(std::string(ByteClasses::kBlock, 'a'));
  scanner.Scan("b");
  CHECK_EQ(Found(scanner), Words({std::string(ByteClasses::kBlock, 'a'), "b"}));
}

TEST(ManyTextsAreSplitLikeOneByteAtATime) {
  std::mt19937 random(1);
  WordScanner scanner(&Classes());
  for (int round = 0; round < 300; ++round) {
    scanner.Clear();
    Words expected;
    for (int texts = random() % 4; texts >= 0; --texts) {
      const unsigned rarity = 1 + random() % 20;
      std::string text(random() % 400, 'x');
      for (char& c : text) {
        c = random() % rarity == 0 ? " \t\n"[random() % 3]
                                   : static_cast<char>(33 + random() % 200);
      }
      scanner.Scan(text);
      for (const std::string& word : Split(text)) expected.push_back(word);
    }
    CHECK_EQ(Found(scanner), expected);
  }
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
