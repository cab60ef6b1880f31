// SPDX-License-Identifier: Apache-2.0
//
// What the core promises without Python. Which ids are right is the business
// of tokenizer_test.py, where the oracles are.

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "data_ops/tokenizer/check.h"
#include "data_ops/tokenizer/status.h"
#include "data_ops/tokenizer/testdata_files.h"
#include "data_ops/tokenizer/tokenizer.h"

namespace data_ops {
namespace {

using Ids = std::vector<int32_t>;
using Row = std::vector<int32_t>;

TokenizerOptions Options(int extra_ids = 0, int num_threads = 0) {
  TokenizerOptions options;
  options.model.extra_ids = extra_ids;
  options.num_threads = num_threads;
  // So small that words are evicted all the time.
  options.cache_bytes = 1024;
  return options;
}

std::unique_ptr<Tokenizer> Tiny(const TokenizerOptions& options = Options()) {
  auto tokenizer = Tokenizer::Create(TinyModel(), options);
  CHECK(tokenizer.ok());
  return std::move(tokenizer).value();
}

// Long enough to be shared among threads.
std::vector<std::string_view> ManyTexts() {
  static const auto* texts = [] {
    auto* made = new std::vector<std::string>;
    for (int i = 0; i < 3000; ++i) {
      made->push_back("The cat number " + std::to_string(i) +
                      std::string(i % 7 == 0 ? i % 90 : 0, '-') + " sleeps.");
    }
    return made;
  }();
  return {texts->begin(), texts->end()};
}

TEST(CreateRefusesWhatIsNotAModel) {
  const std::string& model = TinyModel();
  for (const std::string& bytes :
       {std::string(), std::string("hello"), std::string(300, '\xff'),
        model.substr(0, model.size() / 2), model.substr(1)}) {
    const auto tokenizer = Tokenizer::Create(bytes, {});
    CHECK_EQ(tokenizer.status().code(), StatusCode::kInvalidArgument);
    CHECK(!tokenizer.status().message().empty());
  }
}

TEST(CreateRefusesEveryTruncation) {
  const std::string& model = TinyModel();
  // The last field holds the normalization rules; without its tail, or without
  // any field after the pieces, the model would give other ids.
  for (size_t size = 0; size < model.size(); ++size) {
    CHECK(!Tokenizer::Create(model.substr(0, size), {}).ok());
  }
}

TEST(CreateRefusesOptions) {
  TokenizerOptions too_often;
  too_often.verify_fraction = 1.5;
  for (const TokenizerOptions& options :
       {Options(/*extra_ids=*/-1), Options(0, /*num_threads=*/-2), too_often}) {
    CHECK_EQ(Tokenizer::Create(TinyModel(), options).status().code(),
             StatusCode::kInvalidArgument);
  }
}

TEST(ExtraIdsFollowTheModelAndCountDown) {
  const int size = Tiny()->model().vocab_size();
  const auto down = Tiny(Options(/*extra_ids=*/3));
  CHECK_EQ(down->model().vocab_size(), size + 3);
  CHECK_EQ(down->Encode("<extra_id_0>").value(), Ids({size + 2}));
  CHECK_EQ(down->Encode("<extra_id_2>").value(), Ids({size}));
  TokenizerOptions options = Options(/*extra_ids=*/3);
  options.model.reverse_extra_ids = false;
  const auto up = Tiny(options);
  CHECK_EQ(up->Encode("<extra_id_0>").value(), Ids({size}));
}

TEST(ExtraIdsAreNotAddedTwice) {
  const std::string model =
      Tiny(Options(/*extra_ids=*/3))->model().Serialized();
  CHECK(Tokenizer::Create(model, {}).ok());
  const auto twice = Tokenizer::Create(model, Options(/*extra_ids=*/3));
  CHECK_EQ(twice.status().code(), StatusCode::kInvalidArgument);
  CHECK(twice.status().message().find("set extra_ids to 0") !=
        std::string::npos);
}

TEST(SpecialIdsAreT5s) {
  const auto tokenizer = Tiny();
  const Model& model = tokenizer->model();
  CHECK_EQ(model.pad_id(), 0);
  CHECK_EQ(model.eos_id(), 1);
  CHECK_EQ(model.unk_id(), 2);
  CHECK_EQ(model.bos_id(), -1);
}

TEST(PiecesAndIdsAreInverse) {
  const auto tokenizer = Tiny(Options(/*extra_ids=*/2));
  const Model& model = tokenizer->model();
  for (int id = 0; id < model.vocab_size(); ++id) {
    CHECK_EQ(model.PieceToId(tokenizer->IdToPiece(id).value()), id);
  }
  CHECK_EQ(model.PieceToId("no such piece"), model.unk_id());
  CHECK_EQ(tokenizer->IdToPiece(-1).status().code(), StatusCode::kOutOfRange);
  CHECK_EQ(tokenizer->IdToPiece(model.vocab_size()).status().code(),
           StatusCode::kOutOfRange);
}

TEST(DecodeUndoesEncode) {
  const auto tokenizer = Tiny();
  const std::string text = "The cat sleeps on the warm stone.";
  const Ids ids = tokenizer->Encode(text).value();
  CHECK_EQ(tokenizer->Decode(ids.data(), ids.size()).value(), text);
  CHECK_EQ(tokenizer->Decode(ids.data(), 0).value(), "");
  for (const int32_t id : {-1, 1 << 30}) {
    CHECK_EQ(tokenizer->Decode(&id, 1).status().code(),
             StatusCode::kOutOfRange);
  }
}

TEST(BatchesHoldTheIdsOfTheirTexts) {
  const std::vector<std::string_view> texts = ManyTexts();
  for (const int threads : {1, 2, 5}) {
    const auto tokenizer = Tiny(Options(0, threads));
    const RaggedIds ragged = tokenizer->EncodeBatch(texts).value();
    CHECK_EQ(ragged.row_splits.size, texts.size() + 1);
    const int64_t* splits = ragged.row_splits.begin();
    CHECK_EQ(splits[0], 0);
    CHECK_EQ(splits[texts.size()], static_cast<int64_t>(ragged.values.size));
    for (size_t i = 0; i < texts.size(); ++i) {
      const Ids row(ragged.values.begin() + splits[i],
                    ragged.values.begin() + splits[i + 1]);
      CHECK_EQ(row, tokenizer->Encode(texts[i]).value());
    }
  }
}

TEST(AnEmptyBatchIsABatch) {
  const RaggedIds ragged = Tiny()->EncodeBatch({}).value();
  CHECK_EQ(ragged.values.size, 0u);
  CHECK_EQ(ragged.row_splits.size, 1u);
  CHECK_EQ(*ragged.row_splits.begin(), 0);
}

TEST(PaddedRowsAreCutLikeSeqIOs) {
  const auto tokenizer = Tiny();
  const std::string_view text = "The cat sleeps.";
  const Ids ids = tokenizer->Encode(text).value();
  const int64_t size = static_cast<int64_t>(ids.size());
  for (int64_t length = 1; length < size + 4; ++length) {
    for (const bool with_eos : {false, true}) {
      PaddedLayout layout{length, /*pad=*/-7, {}};
      if (with_eos) layout.eos = 1;
      Row expected(ids.begin(),
                   ids.begin() + std::min(size, length - (with_eos ? 1 : 0)));
      if (with_eos) expected.push_back(1);
      const int32_t kept = static_cast<int32_t>(expected.size());
      expected.resize(length, -7);

      Row row(length, 99);
      int32_t written = 0;
      CHECK(tokenizer->EncodePadded({text}, layout, row.data(), &written).ok());
      CHECK_EQ(row, expected);
      CHECK_EQ(written, kept);
    }
  }
}

TEST(PaddedRowsOfManyThreadsAreThoseOfOne) {
  const std::vector<std::string_view> texts = ManyTexts();
  const PaddedLayout layout{17, 0, 1};
  Row one(texts.size() * 17), many(texts.size() * 17);
  std::vector<int32_t> lengths(texts.size());
  CHECK(Tiny(Options(0, 1))
            ->EncodePadded(texts, layout, one.data(), lengths.data())
            .ok());
  CHECK(Tiny(Options(0, 5))
            ->EncodePadded(texts, layout, many.data(), nullptr)
            .ok());
  CHECK_EQ(one, many);
  for (size_t i = 0; i < texts.size(); ++i) {
    CHECK_EQ(one[i * 17 + lengths[i] - 1], 1);
  }
}

TEST(PaddedLayoutsAreChecked) {
  const auto tokenizer = Tiny();
  Row row(8);
  for (const PaddedLayout& layout :
       {PaddedLayout{0, 0, 1}, PaddedLayout{-1, 0, {}},
        PaddedLayout{int64_t{1} << 40, 0, 1}, PaddedLayout{8, 0, -1},
        PaddedLayout{8, 0, tokenizer->model().vocab_size()}}) {
    CHECK_EQ(tokenizer->EncodePadded({"a"}, layout, row.data(), nullptr).code(),
             StatusCode::kInvalidArgument);
  }
}

TEST(NulAndBrokenUtf8AreText) {
  const auto tokenizer = Tiny();
  using namespace std::string_view_literals;
  const Ids ids = tokenizer->Encode("a\0b"sv).value();
  CHECK_EQ(ids,
           Ids({tokenizer->Encode("a").value()[0], tokenizer->model().unk_id(),
                tokenizer->model().PieceToId("b")}));
  CHECK_EQ(tokenizer->Encode("\xff\xfe").value(),
           tokenizer->Encode("\xef\xbf\xbd\xef\xbf\xbd").value());
}

TEST(TextsOfAbsurdLengthAreRefused) {
  const std::string text(Tokenizer::kMaxTextBytes + 1, 'a');
  CHECK_EQ(Tiny()->Encode(text).status().code(), StatusCode::kInvalidArgument);
  CHECK_EQ(Tiny()->EncodeBatch({"a", text}).status().code(),
           StatusCode::kInvalidArgument);
}

TEST(OneTokenizerServesManyThreads) {
  const auto tokenizer = Tiny(Options(/*extra_ids=*/5));
  const std::vector<std::string_view> texts = ManyTexts();
  const auto encode = [&] {
    const RaggedIds ragged = tokenizer->EncodeBatch(texts).value();
    return Row(ragged.values.begin(), ragged.values.end());
  };
  const Row expected = encode();
  std::vector<Row> seen(4);
  std::vector<std::thread> threads;
  for (Row& row : seen) {
    threads.emplace_back([&encode, &row] {
      row = encode();
      // Loading must not disturb those who encode.
      CHECK(Tokenizer::Create(TinyModel(), {}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Row& row : seen) CHECK_EQ(row, expected);
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
