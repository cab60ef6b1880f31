// SPDX-License-Identifier: Apache-2.0
//
// The margin is tried, not only proved: with scores as far out as it allows,
// the exact program must choose the same path.

#include "data_ops/tokenizer/viterbi.h"

#include <cmath>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/check.h"

namespace data_ops {
namespace {

using Ids = std::vector<int32_t>;

constexpr Semantics kBoth[] = {Semantics::kClassic, Semantics::k023};

Ids ExactIds(Viterbi* viterbi, std::string_view text, float score) {
  viterbi->Exact(text, score);
  Ids ids;
  for (const Token& token : viterbi->tokens()) ids.push_back(token.id);
  return ids;
}

Ids MarginIds(const MarginPath& path) {
  return Ids(path.ids.begin(), path.ids.begin() + path.count);
}

TEST(TheBestPathWins) {
  for (const Semantics semantics : kBoth) {
    const Lexicon lexicon(
        {{"a", 1, -1.0f}, {"b", 2, -1.0f}, {"ab", 3, -1.5f}, {"abc", 4, -9.f}},
        /*unk_id=*/0, /*vocab_size=*/5, semantics);
    Viterbi viterbi(&lexicon);
    CHECK_EQ(viterbi.Exact("ab", 0), -1.5f);
    CHECK_EQ(viterbi.tokens().size(), 1u);
    CHECK_EQ(viterbi.tokens()[0].id, 3);
    CHECK_EQ(ExactIds(&viterbi, "ba", 0), Ids({2, 1}));
    // c alone costs ten more than the worst piece.
    CHECK_EQ(ExactIds(&viterbi, "abc", 0), Ids({4}));
    CHECK_EQ(ExactIds(&viterbi, "cc", 0), Ids({0, 0}));
    CHECK_EQ(viterbi.Exact("c", 0), -19.0f);
    CHECK_EQ(ExactIds(&viterbi, "", 0), Ids());
  }
}

TEST(CharactersAreNotTornApart) {
  const Lexicon lexicon({{"a", 1, -1.0f}, {"\u00e9", 2, -1.0f}}, 0, 3,
                        Semantics::kClassic);
  Viterbi viterbi(&lexicon);
  CHECK_EQ(ExactIds(&viterbi, "a\u00e9\u4e2d", 0), Ids({1, 2, 0}));
  CHECK_EQ(viterbi.tokens()[1].end, 3u);
  CHECK_EQ(viterbi.tokens()[2].end, 6u);
}

TEST(UserDefinedPiecesBeatOrdinaryOnes) {
  for (const Semantics semantics : kBoth) {
    const Lexicon lexicon(
        {{"ab", 1, -0.5f}, {"a", 2, 0, true}, {"b", 3, -2.0f}}, 0, 4,
        semantics);
    Viterbi viterbi(&lexicon);
    // -0.1 in one, 0 in the other, and then b.
    CHECK_EQ(ExactIds(&viterbi, "ab", 0), Ids({1}));
    CHECK_EQ(ExactIds(&viterbi, "a", 0), Ids({2}));
    const float score = viterbi.Exact("a", 0);
    CHECK_EQ(score, semantics == Semantics::kClassic ? -0.1f : 0.0f);
  }
}

TEST(ScoresAreMovedBackIn023Only) {
  const std::vector<LexiconPiece> pieces = {{"a", 1, -1.0f}, {"aa", 2, -5.0f}};
  const Lexicon classic(pieces, 0, 3, Semantics::kClassic);
  const Lexicon later(pieces, 0, 3, Semantics::k023);
  CHECK_EQ(Viterbi(&classic).Exact("aaa", -200000.0f), -200003.0f);
  CHECK_EQ(Viterbi(&later).Exact("aaa", -200000.0f), -3.0f);
}

TEST(NothingIsSureAboutTiesUnknownsAndOddBonuses) {
  const std::vector<LexiconPiece> pieces = {
      {"-", 1, -2.0f}, {"--", 2, -3.0f}, {"a", 3, 0, true}};
  const Lexicon classic(pieces, 0, 4, Semantics::kClassic);
  const Lexicon later(pieces, 0, 4, Semantics::k023);
  MarginPath path;
  // "- --" or "-- -".
  Viterbi(&classic).WithMargin("---", &path);
  CHECK(path.limit < 0);
  Viterbi(&classic).WithMargin("--", &path);
  CHECK(path.limit > 1000);
  CHECK_EQ(path.weight, 3.0f);
  // One character without a piece is as sure as any; two become one id.
  for (const Lexicon* lexicon : {&classic, &later}) {
    Viterbi(lexicon).WithMargin("x-x", &path);
    CHECK(path.limit > 1000);
    CHECK_EQ(MarginIds(path), Ids({0, 1, 0}));
    CHECK_EQ(path.weight, 28.0f);
    Viterbi(lexicon).WithMargin("-xx", &path);
    CHECK(path.limit < 0);
  }
  Viterbi(&classic).WithMargin("a", &path);
  CHECK(path.limit < 0);
  Viterbi(&later).WithMargin("a", &path);
  CHECK(path.limit > 1000);
  // No score may be moved back inside of a remembered word.
  CHECK(path.limit < 100000);
}

TEST(ABonusThatWouldWinIsNotOverlooked) {
  const Lexicon classic(
      {{"a", 1, 5.0f}, {"b", 2, -1.0f}, {"c", 3, -1.0f}, {"abc", 4, 0, true}},
      0, 5, Semantics::kClassic);
  Viterbi viterbi(&classic);
  // 3 * 5 - 0.1 against 5 - 1 - 1.
  CHECK_EQ(ExactIds(&viterbi, "abc", 0), Ids({4}));
  MarginPath path;
  viterbi.WithMargin("abc", &path);
  CHECK(path.limit < 0);
}

// Scores close to one another make small gaps; the narrower the spread, the
// more often the limit is the point.
TEST(WithinItsLimitAPathIsExact) {
  std::mt19937 random(1);
  size_t tried = 0, sure = 0;
  for (int round = 0; round < 400; ++round) {
    const Semantics semantics = kBoth[round % 2];
    const float spread = std::pow(10.0f, -static_cast<float>(round % 7));
    std::vector<std::string> texts;
    for (const char a : {'a', 'b', 'c'}) {
      texts.push_back({a});
      for (const char b : {'a', 'b', 'c'}) {
        texts.push_back({a, b});
        if (random() % 2) texts.push_back({a, b, 'a'});
      }
    }
    std::vector<LexiconPiece> pieces;
    for (size_t i = 0; i < texts.size(); ++i) {
      const float noise = static_cast<float>(random() % 1000) / 1000;
      pieces.push_back({texts[i], static_cast<int32_t>(i + 1),
                        -2.0f * texts[i].size() - spread * noise});
    }
    const Lexicon lexicon(pieces, 0, pieces.size() + 1, semantics);
    Viterbi viterbi(&lexicon);
    for (int i = 0; i < 50; ++i) {
      std::string text(1 + random() % 20, 'a');
      // d has no piece.
      for (char& c : text) c = "abcabcabcd"[random() % 10];
      MarginPath path;
      viterbi.WithMargin(text, &path);
      ++tried;
      if (path.limit < 0) continue;
      ++sure;
      for (const float share : {-1.0f, -0.7f, -0.1f, 0.0f, 0.3f, 1.0f}) {
        const float score = share * std::min(path.limit, 1e7f);
        CHECK_EQ(ExactIds(&viterbi, text, score), MarginIds(path));
      }
    }
  }
  // The test would say nothing if hardly any path were sure.
  CHECK(sure * 3 > tried);
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
