// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/char_map.h"

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/check.h"
#include "third_party/darts_clone/darts.h"

namespace data_ops {
namespace {

using Rules = std::map<std::string, std::string>;

// What sentencepiece writes for `rules`.
std::string Compile(const Rules& rules) {
  std::string replacements;
  std::vector<const char*> keys;
  std::vector<size_t> lengths;
  std::vector<int> values;
  for (const auto& [key, replacement] : rules) {
    keys.push_back(key.data());
    lengths.push_back(key.size());
    values.push_back(static_cast<int>(replacements.size()));
    replacements += replacement + '\0';
  }
  Darts::DoubleArray trie;
  trie.build(keys.size(), keys.data(), lengths.data(), values.data());
  const uint32_t size = static_cast<uint32_t>(trie.total_size());
  std::string blob(sizeof(size), '\0');
  std::memcpy(blob.data(), &size, sizeof(size));
  blob.append(static_cast<const char*>(trie.array()), size);
  return blob + replacements;
}

CharMap Load(const Rules& rules) {
  auto map = CharMap::Create(Compile(rules));
  CHECK(map.ok());
  return std::move(map).value();
}

TEST(TheLongestRuleApplies) {
  const CharMap map = Load({{"a", "1"}, {"abc", "3"}, {"x", ""}});
  CHECK_EQ(map.Find("abd").replacement, "1");
  CHECK_EQ(map.Find("abd").length, 1u);
  CHECK_EQ(map.Find("abcd").replacement, "3");
  CHECK_EQ(map.Find("abcd").length, 3u);
  CHECK_EQ(map.Find("x").length, 1u);
  CHECK_EQ(map.Find("x").replacement, "");
  CHECK_EQ(map.Find("b").length, 0u);
  CHECK_EQ(map.Find("").length, 0u);
}

TEST(WithoutRulesNothingApplies) {
  CHECK_EQ(CharMap().Find("a").length, 0u);
  CHECK_EQ(CharMap::Create("").value().Find("a").length, 0u);
}

TEST(AsciiInRulesIsReported) {
  const CharMap map =
      Load({{"a\u0301", "\u00e1"}, {"bc", "d"}, {"\u00b4 ", "x"}});
  for (int byte = 0; byte < 128; ++byte) {
    CHECK_EQ(map.ascii_leads()[byte], byte == 'a' || byte == 'b');
    CHECK_EQ(map.ascii_pairs()[byte], byte == 'b');
    CHECK_EQ(map.ascii_inside()[byte], byte == 'c' || byte == ' ');
  }
}

TEST(ReplacementsThatAreNotUtf8AreReported) {
  CHECK(Load({{"a", "\u00e9"}}).well_formed());
  CHECK(!Load({{"a", "\xff"}}).well_formed());
}

TEST(CutMapsAreRefused) {
  const std::string blob = Compile({{"a", "b"}, {"c", "d"}});
  for (size_t size = 1; size < blob.size(); ++size) {
    const auto map = CharMap::Create(blob.substr(0, size));
    // Cut between two replacements it is a map again, with a rule switched off.
    if (map.ok()) CHECK_EQ(map.value().Find("c").length, 0u);
  }
  CHECK(!CharMap::Create(blob.substr(0, blob.size() - 1)).ok());
}

TEST(NestedRulesAreLimited) {
  Rules rules;
  for (size_t i = 1; i <= 33; ++i) rules[std::string(i, 'a')] = "b";
  CHECK(!CharMap::Create(Compile(rules)).ok());
  rules.erase(std::string(33, 'a'));
  CHECK_EQ(Load(rules).Find(std::string(40, 'a')).length, 32u);
}

// Damaged maps either load and answer something, or are refused; sanitizers
// watch that they do nothing else.
TEST(DamagedMapsDoNoHarm) {
  const std::string blob =
      Compile({{"a", "1"}, {"ab", "2"}, {"\u00e9", "e"}, {"\u4e2d", "zhong"}});
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = blob;
    for (unsigned i = 1 + random() % 8; i > 0; --i) {
      // Mostly where units are in use.
      const size_t at = random() % (random() % 2 ? damaged.size() : 600);
      damaged[at] = static_cast<char>(random());
    }
    const auto map = CharMap::Create(damaged);
    if (!map.ok()) {
      ++refused;
      continue;
    }
    std::string text(20, '\0');
    for (char& c : text) c = static_cast<char>(random());
    for (size_t i = 0; i < text.size(); ++i) {
      CHECK(map.value().Find(text.substr(i)).length <= text.size());
    }
    CHECK(map.value().Find("ab\u00e9").length <= 4);
  }
  CHECK(refused > 100);
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
