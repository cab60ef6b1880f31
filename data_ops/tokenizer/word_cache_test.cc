// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/word_cache.h"

#include <string>
#include <string_view>

#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

constexpr WordKind kBoth[] = {WordKind::kWord, WordKind::kContinuation};

// 32 bytes can be read from it, as from a scanned word.
std::string Readable(std::string_view word) {
  return std::string(word) + std::string(40, '#');
}

MarginPath Path(size_t count, float limit = 100, float weight = 2) {
  MarginPath path;
  path.count = count;
  path.limit = limit;
  path.weight = weight;
  for (size_t i = 0; i < count; ++i) {
    path.ids[i] = static_cast<int32_t>(1000 * i + count);
  }
  return path;
}

TEST(KeysTellBytesLengthsAndKindsApart) {
  using Key = WordKey<2>;
  const std::string text(16, '\0');
  for (size_t size = 0; size <= Key::kMaxBytes; ++size) {
    for (size_t other = 0; other <= Key::kMaxBytes; ++other) {
      CHECK_EQ(Key::Of(text.data(), size, WordKind::kWord) ==
                   Key::Of(text.data(), other, WordKind::kWord),
               size == other);
    }
    CHECK(!(Key::Of(text.data(), size, WordKind::kWord) ==
            Key::Of(text.data(), size, WordKind::kContinuation)));
  }
  const std::string a = Readable("abc"), b = "abc~~~~~~~~~~~~~~~~~";
  CHECK(Key::Of(a.data(), 3, WordKind::kWord) ==
        Key::Of(b.data(), 3, WordKind::kWord));
  CHECK(!(Key::Of(a.data(), 4, WordKind::kWord) ==
          Key::Of(b.data(), 4, WordKind::kWord)));
}

TEST(WhatWasRememberedIsRecalled) {
  for (const size_t vocab_size : {size_t{65536}, size_t{65537}}) {
    WordMemory memory(1 << 20, vocab_size);
    MarginPath path;
    for (size_t size = 0; size <= WordMemory::kMaxBytes; ++size) {
      for (const WordKind kind : kBoth) {
        const std::string word = Readable(std::string(size, 'a'));
        CHECK(!memory.Recall(word.data(), size, kind, &path));
        const MarginPath known = Path(size % (memory.max_ids() + 1));
        memory.Remember(word.data(), size, kind, known);
        CHECK(memory.Recall(word.data(), size, kind, &path));
        CHECK_EQ(path.count, known.count);
        for (size_t i = 0; i < path.count; ++i) {
          CHECK_EQ(path.ids[i], known.ids[i]);
        }
        // Rounded to the safe side, and not by much.
        CHECK(path.limit <= 100 && path.limit > 99);
        CHECK(path.weight >= 2 && path.weight < 2.02f);
      }
    }
  }
}

TEST(LargeIdsNeedWideEntries) {
  WordMemory memory(1 << 20, 250000);
  CHECK(!memory.ids_are_16_bits());
  const std::string word = Readable("word");
  MarginPath known = Path(2), path;
  known.ids[1] = 249999;
  memory.Remember(word.data(), 4, WordKind::kWord, known);
  CHECK(memory.Recall(word.data(), 4, WordKind::kWord, &path));
  CHECK_EQ(path.ids[1], 249999);
}

TEST(OfPathsThatAreNeverSureOnlyThatIsKept) {
  WordMemory memory(1 << 20, 100);
  MarginPath path;
  for (const std::string_view word : {"short", "a word of many more bytes"}) {
    const std::string text = Readable(word);
    memory.Remember(text.data(), word.size(), WordKind::kWord, Path(60, -5));
    CHECK(memory.Recall(text.data(), word.size(), WordKind::kWord, &path));
    CHECK(path.limit < 0);
    CHECK_EQ(path.count, 0u);
  }
}

TEST(PathsOfTooManyIdsAreNotKept) {
  WordMemory memory(1 << 20, 100);
  const std::string word = Readable("word");
  MarginPath path;
  memory.Remember(word.data(), 4, WordKind::kWord, Path(memory.max_ids() + 1));
  CHECK(!memory.Recall(word.data(), 4, WordKind::kWord, &path));
  memory.Remember(word.data(), 4, WordKind::kWord, Path(memory.max_ids()));
  CHECK(memory.Recall(word.data(), 4, WordKind::kWord, &path));
}

// A table of one bucket: the word that is asked for stays.
TEST(WordsThatOccurOnceDoNotDriveOutOthers) {
  WordMemory memory(/*bytes=*/0, 100);
  const std::string often = Readable("often");
  MarginPath path;
  memory.Remember(often.data(), 5, WordKind::kWord, Path(1));
  for (int i = 0; i < 100; ++i) {
    CHECK(memory.Recall(often.data(), 5, WordKind::kWord, &path));
    CHECK_EQ(path.count, 1u);
    const std::string once = Readable("once" + std::to_string(i));
    memory.Remember(once.data(), 6, WordKind::kWord, Path(2));
  }
}

TEST(WordsOutOfUseMakeRoom) {
  WordMemory memory(/*bytes=*/0, 100);
  MarginPath path;
  for (int i = 0; i < 100; ++i) {
    const std::string word = Readable("word" + std::to_string(i));
    bool known = false;
    for (int tries = 0; tries < 3 && !known; ++tries) {
      memory.Remember(word.data(), 6, WordKind::kWord, Path(1));
      known = memory.Recall(word.data(), 6, WordKind::kWord, &path);
    }
    CHECK(known);
  }
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
