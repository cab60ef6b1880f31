// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a text: every way of encoding gives the same ids.

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "data_ops/tokenizer/fuzz_driver.h"
#include "data_ops/tokenizer/model.h"
#include "data_ops/tokenizer/sentence_encoder.h"
#include "data_ops/tokenizer/testdata_files.h"
#include "data_ops/tokenizer/word_encoder.h"

namespace data_ops {
namespace {

using Ids = std::vector<int32_t>;

Ids Encode(RowEncoder* encoder, std::string_view text) {
  IdBuffer ids;
  std::vector<int64_t> ends;
  if (!encoder->Encode(&text, 1, SIZE_MAX, &ids, &ends).ok()) std::abort();
  return Ids(ids.data(), ids.data() + ids.size());
}

// Encoders that live as long as the process: what one text leaves in a cache
// must not change the next.
struct Ways {
  explicit Ways(Semantics semantics)
      : model(Model::Load(TinyModel(), {2, true, semantics}).value()),
        sentence(model->normalizer(), model->lexicon()),
        word(model->normalizer(), model->lexicon(), 8192) {
    if (semantics == Semantics::kClassic) {
      library = std::make_unique<LibraryEncoder>(model->Library().value());
    }
  }

  void Compare(std::string_view text) {
    const Ids expected = Encode(&sentence, text);
    if (Encode(&word, text) != expected) std::abort();
    if (library && Encode(library.get(), text) != expected) std::abort();
  }

  std::shared_ptr<const Model> model;
  SentenceEncoder sentence;
  WordEncoder word;
  std::unique_ptr<LibraryEncoder> library;
};

}  // namespace

std::vector<std::string> FuzzSeeds() {
  std::mt19937 random(1);
  std::vector<std::string> seeds;
  for (int i = 0; i < 500; ++i) seeds.push_back(HardText(&random));
  return seeds;
}

}  // namespace data_ops

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* classic = new data_ops::Ways(data_ops::Semantics::kClassic);
  static auto* later = new data_ops::Ways(data_ops::Semantics::k023);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  classic->Compare(text);
  later->Compare(text);
  return 0;
}
