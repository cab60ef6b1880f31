// SPDX-License-Identifier: Apache-2.0
//
// The normalizer against the library's.

#include "data_ops/tokenizer/normalizer.h"

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "builtin_pb/sentencepiece_model.pb.h"
#include "data_ops/tokenizer/check.h"
#include "data_ops/tokenizer/testdata_files.h"
#include "data_ops/tokenizer/utf8.h"
#include "sentencepiece_processor.h"

namespace data_ops {
namespace {

struct Pair {
  std::unique_ptr<sentencepiece::SentencePieceProcessor> library;
  std::unique_ptr<Normalizer> ours;
};

// Bit i of `flags` turns an option of the tiny model round.
Pair Load(unsigned flags) {
  sentencepiece::ModelProto model;
  CHECK(model.ParseFromString(TinyModel()));
  auto* spec = model.mutable_normalizer_spec();
  const NormalizerOptions options = {!(flags & 1), !(flags & 2), !(flags & 4),
                                     (flags & 8) != 0};
  spec->set_add_dummy_prefix(options.add_dummy_prefix);
  spec->set_remove_extra_whitespaces(options.remove_extra_whitespaces);
  spec->set_escape_whitespaces(options.escape_whitespaces);
  model.mutable_trainer_spec()->set_treat_whitespace_as_suffix(
      options.whitespace_as_suffix);
  Pair pair;
  pair.ours = std::make_unique<Normalizer>(
      options, CharMap::Create(spec->precompiled_charsmap()).value(),
      std::vector<std::string_view>{"<mask>"});
  pair.library = std::make_unique<sentencepiece::SentencePieceProcessor>();
  CHECK(pair.library->Load(model).ok());
  return pair;
}

TEST(TextsAndAlignmentsAreTheLibrarys) {
  std::mt19937 random(1);
  for (unsigned flags = 0; flags < 16; ++flags) {
    const Pair pair = Load(flags);
    for (int i = 0; i < 500; ++i) {
      const std::string text = HardText(&random);
      std::string expected, normalized;
      std::vector<size_t> expected_alignment, alignment;
      CHECK(pair.library->Normalize(text, &expected, &expected_alignment).ok());
      pair.ours->Normalize(text, &normalized, &alignment);
      CHECK_EQ(normalized, expected);
      // The library aligns nothing at all where nothing is left.
      if (!expected_alignment.empty()) CHECK_EQ(alignment, expected_alignment);
    }
  }
}

TEST(RunsMakeUpTheText) {
  const Pair pair = Load(0);
  CHECK(pair.ours->runs_are_independent());
  std::mt19937 random(2);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = HardText(&random);
    std::string expected, joined, run;
    pair.ours->Normalize(text, &expected);
    size_t begin = 0;
    for (size_t end = 0; end <= text.size(); ++end) {
      if (end < text.size() &&
          pair.ours->byte_classes().Get(text[end]) != ByteClasses::kSpace) {
        continue;
      }
      pair.ours->NormalizeRun(std::string_view(text).substr(begin, end - begin),
                              &run);
      if (!run.empty()) joined += std::string(kSpaceMark) + run;
      begin = end + 1;
    }
    while (joined.size() >= 3 &&
           joined.substr(joined.size() - 3) == kSpaceMark) {
      joined.resize(joined.size() - 3);
    }
    CHECK_EQ(joined, expected);
  }
}

TEST(SymbolsWithWhiteSpaceTieRunsTogether) {
  const NormalizerOptions options;
  CHECK(Normalizer(options, CharMap(), {"<a>"}).runs_are_independent());
  CHECK(!Normalizer(options, CharMap(), {"a b"}).runs_are_independent());
}

TEST(StartsOfSymbolsAreSpecial) {
  const Normalizer normalizer({}, CharMap(), {"<a>"});
  CHECK_EQ(normalizer.byte_classes().Get('<'), ByteClasses::kSpecial);
  CHECK_EQ(normalizer.byte_classes().Get('a'), ByteClasses::kPlain);
  CHECK_EQ(normalizer.byte_classes().Get(' '), ByteClasses::kSpace);
}

}  // namespace
}  // namespace data_ops

int main() { return data_ops::check::RunTests(); }
