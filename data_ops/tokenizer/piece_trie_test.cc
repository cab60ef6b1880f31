// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/piece_trie.h"

#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

using Pieces = std::vector<std::pair<std::string_view, int32_t>>;

PieceTrie Build(const Pieces& pieces) {
  PieceTrie trie;
  CHECK(trie.Build(pieces));
  return trie;
}

TEST(AnEmptyTrieHoldsNothing) {
  for (const PieceTrie& trie : {PieceTrie(), Build({})}) {
    CHECK_EQ(trie.Find("a"), PieceTrie::kNoId);
    CHECK_EQ(trie.Find(""), PieceTrie::kNoId);
    CHECK_EQ(trie.LongestPrefix("a"), 0u);
  }
}

TEST(PrefixesOfPiecesAreNotPieces) {
  const PieceTrie trie = Build({{"abc", 7}, {"a", 0}, {"abd", 9}});
  CHECK_EQ(trie.Find("a"), 0);
  CHECK_EQ(trie.Find("ab"), PieceTrie::kNoId);
  CHECK_EQ(trie.Find("abc"), 7);
  CHECK_EQ(trie.Find("abcd"), PieceTrie::kNoId);
  CHECK_EQ(trie.LongestPrefix("abcd"), 3u);
  CHECK_EQ(trie.LongestPrefix("abx"), 1u);
  CHECK_EQ(trie.LongestPrefix("xabc"), 0u);
}

TEST(AWalkThatFailsStaysWhereItWas) {
  const PieceTrie trie = Build({{"ab", 1}});
  uint32_t node = PieceTrie::kRoot;
  CHECK(trie.Step('a', &node));
  const uint32_t at_a = node;
  CHECK(!trie.Step('x', &node));
  CHECK_EQ(node, at_a);
  CHECK(trie.Step('b', &node));
  CHECK_EQ(trie.Id(node), 1);
}

TEST(APieceScoresAndItsPrefixesDoNot) {
  PieceTrie trie;
  CHECK(trie.Build({{"ab", 1}, {"abc", 5}}, {-1.0f, -2.5f}));
  uint32_t node = PieceTrie::kRoot;
  CHECK(trie.Step('a', &node));
  CHECK_EQ(trie.Score(node), PieceTrie::kNoScore);
  CHECK(trie.Step('b', &node));
  CHECK_EQ(trie.Score(node), -2.5f);
  CHECK(trie.Step('c', &node));
  CHECK_EQ(trie.Score(node), 0.0f);
}

TEST(EmptyAndEqualPiecesAreRefused) {
  PieceTrie trie = Build({{"kept", 3}});
  CHECK(!trie.Build({{"", 0}}));
  CHECK(!trie.Build({{"a", 0}, {"b", 1}, {"a", 2}}));
  CHECK_EQ(trie.Find("kept"), 3);
}

TEST(EveryByteIsALabel) {
  std::vector<std::string> texts;
  for (int a = 0; a < 256; ++a) texts.push_back({static_cast<char>(a), 'x'});
  Pieces pieces;
  for (int a = 0; a < 256; ++a) pieces.push_back({texts[a], a});
  const PieceTrie trie = Build(pieces);
  for (int a = 0; a < 256; ++a) CHECK_EQ(trie.Find(texts[a]), a);
}

// Random sets, small alphabets for deep tries, all bytes for wide ones.
TEST(FindsWhatAMapFinds) {
  std::mt19937 random(1);
  for (const int alphabet : {2, 4, 30, 256}) {
    std::map<std::string, int32_t> expected;
    const auto word = [&] {
      std::string text(1 + random() % 9, '\0');
      for (char& c : text) c = static_cast<char>(random() % alphabet);
      return text;
    };
    for (int i = 0; i < 3000; ++i) expected.emplace(word(), i);
    const PieceTrie trie = Build(Pieces(expected.begin(), expected.end()));
    for (const auto& [text, id] : expected) CHECK_EQ(trie.Find(text), id);
    for (int i = 0; i < 3000; ++i) {
      const std::string text = word();
      const auto it = expected.find(text);
      CHECK_EQ(trie.Find(text),
               it == expected.end() ? PieceTrie::kNoId : it->second);
    }
    // Not much larger than it must be.
    CHECK(trie.unit_count() < 40000);
  }
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
