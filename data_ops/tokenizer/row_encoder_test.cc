// SPDX-License-Identifier: Apache-2.0
//
// The ways of encoding against one another, over the tiny model. What the right
// ids are is the business of tokenizer_test.py.

#include "data_ops/tokenizer/row_encoder.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data_ops/tokenizer/check.h"
#include "data_ops/tokenizer/model.h"
#include "data_ops/tokenizer/sentence_encoder.h"
#include "data_ops/tokenizer/testdata_files.h"
#include "data_ops/tokenizer/verifying_encoder.h"
#include "data_ops/tokenizer/word_encoder.h"

namespace data_ops {
namespace {

using Rows = std::vector<std::vector<int32_t>>;
using Texts = std::vector<std::string>;

std::shared_ptr<const Model> Load(Semantics semantics, int extra_ids = 3) {
  auto model = Model::Load(TinyModel(), {extra_ids, true, semantics});
  CHECK(model.ok());
  return std::move(model).value();
}

Rows Encode(RowEncoder* encoder, const Texts& texts, size_t max_ids) {
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  IdBuffer ids;
  std::vector<int64_t> ends;
  CHECK(encoder->Encode(views.data(), views.size(), max_ids, &ids, &ends).ok());
  CHECK_EQ(ends.size(), texts.size());
  Rows rows;
  int64_t begin = 0;
  for (const int64_t end : ends) {
    rows.emplace_back(ids.data() + begin, ids.data() + end);
    begin = end;
  }
  return rows;
}

Texts HardTexts() {
  std::mt19937 random(1);
  Texts texts;
  for (int i = 0; i < 2000; ++i) texts.push_back(HardText(&random));
  // Longer than a section, with white space and without.
  std::string words, word;
  for (int i = 0; i < 20000; ++i) {
    words += "cat" + std::to_string(random() % 500) + " ";
    word += static_cast<char>('a' + random() % 26);
  }
  texts.insert(texts.end(), {words, word, words + word + words,
                             std::string(9000, '-'), std::string(9000, ' ')});
  return texts;
}

TEST(EveryWayGivesTheSameIds) {
  const Texts texts = HardTexts();
  for (const Semantics semantics : {Semantics::kClassic, Semantics::k023}) {
    const auto model = Load(semantics);
    CHECK_EQ(model->traits().mode, ExactMode::kWordCache);
    SentenceEncoder sentence(model->normalizer(), model->lexicon());
    const Rows expected = Encode(&sentence, texts, SIZE_MAX);
    if (semantics == Semantics::kClassic) {
      LibraryEncoder library(model->Library().value());
      CHECK_EQ(Encode(&library, texts, SIZE_MAX), expected);
    }
    // One bucket, a few, plenty.
    for (const size_t bytes : {0, 4096, 1 << 20}) {
      WordEncoder word(model->normalizer(), model->lexicon(), bytes);
      CHECK_EQ(Encode(&word, texts, SIZE_MAX), expected);
      CHECK_EQ(Encode(&word, texts, SIZE_MAX), expected);
    }
  }
}

// Neighbours become one id, in words, across their parts, and never across
// white space.
TEST(CharactersWithoutAPieceAreMerged) {
  static const std::vector<std::string> fragments = {
      "~", "`", "\u4e2d", "a", "cat", "-", "(", " ", "\u2581"};
  std::mt19937 random(2);
  Texts texts = {"`", "``", "` `", "a`", "`a`b", "a`\u4e2d-`~b `~"};
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (unsigned n = random() % 20; n > 0; --n) {
      text += fragments[random() % fragments.size()];
    }
    texts.push_back(text);
  }
  for (const Semantics semantics : {Semantics::kClassic, Semantics::k023}) {
    const auto model = Load(semantics);
    CHECK_EQ(model->lexicon()->trie().Find("`"), PieceTrie::kNoId);
    SentenceEncoder sentence(model->normalizer(), model->lexicon());
    const Rows expected = Encode(&sentence, texts, SIZE_MAX);
    if (semantics == Semantics::kClassic) {
      LibraryEncoder library(model->Library().value());
      CHECK_EQ(Encode(&library, texts, SIZE_MAX), expected);
    }
    WordEncoder word(model->normalizer(), model->lexicon(), 1 << 20);
    CHECK_EQ(Encode(&word, texts, SIZE_MAX), expected);
    CHECK_EQ(Encode(&word, texts, SIZE_MAX), expected);
  }
}

TEST(CutRowsArePrefixes) {
  const Texts texts = HardTexts();
  const auto model = Load(Semantics::kClassic);
  SentenceEncoder sentence(model->normalizer(), model->lexicon());
  LibraryEncoder library(model->Library().value());
  WordEncoder word(model->normalizer(), model->lexicon(), 4096);
  for (const size_t max_ids : {0, 1, 2, 7, 100, 5000}) {
    Rows expected = Encode(&sentence, texts, SIZE_MAX);
    for (auto& row : expected) row.resize(std::min(row.size(), max_ids));
    CHECK_EQ(Encode(&word, texts, max_ids), expected);
    CHECK_EQ(Encode(&sentence, texts, max_ids), expected);
    CHECK_EQ(Encode(&library, texts, max_ids), expected);
  }
}

TEST(SpansAreTheLibrarys) {
  const auto model = Load(Semantics::kClassic);
  SentenceEncoder sentence(model->normalizer(), model->lexicon());
  LibraryEncoder library(model->Library().value());
  for (const std::string& text : HardTexts()) {
    std::vector<TokenSpan> expected, spans;
    CHECK(library.EncodeWithSpans(text, &expected).ok());
    sentence.EncodeWithSpans(text, &spans);
    CHECK_EQ(spans.size(), expected.size());
    for (size_t i = 0; i < std::min(spans.size(), expected.size()); ++i) {
      CHECK_EQ(spans[i].id, expected[i].id);
      CHECK_EQ(spans[i].begin, expected[i].begin);
      CHECK_EQ(spans[i].end, expected[i].end);
    }
  }
}

// Encodes every text as its length, and texts of one length wrongly.
class LengthEncoder : public RowEncoder {
 public:
  explicit LengthEncoder(size_t wrong) : wrong_(wrong) {}

  Status Encode(const std::string_view* texts, size_t count, size_t,
                IdBuffer* ids, std::vector<int64_t>* ends) override {
    for (size_t i = 0; i < count; ++i) {
      const int32_t size = static_cast<int32_t>(texts[i].size());
      ids->Append(texts[i].size() == wrong_ ? -1 : size);
      ends->push_back(static_cast<int64_t>(ids->size()));
    }
    return Status();
  }

 private:
  const size_t wrong_;
};

TEST(VerificationReportsWhatDiffers) {
  const auto verify = [](size_t wrong, double fraction) {
    VerifyingEncoder encoder(std::make_unique<LengthEncoder>(wrong),
                             std::make_unique<LengthEncoder>(SIZE_MAX),
                             fraction);
    const std::vector<std::string_view> texts(100, "four");
    IdBuffer ids;
    std::vector<int64_t> ends;
    return encoder.Encode(texts.data(), texts.size(), SIZE_MAX, &ids, &ends);
  };
  CHECK(verify(/*wrong=*/5, 1).ok());
  CHECK_EQ(verify(/*wrong=*/4, 1).code(), StatusCode::kInternal);
  CHECK(verify(4, 1).message().find("four") != std::string::npos);
  // One of a hundred texts is bound to be in the sample.
  CHECK(!verify(/*wrong=*/4, 0.2).ok());
  CHECK(verify(/*wrong=*/4, 0).ok());
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
