// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a model: refused, or usable. The sanitizers see the rest.

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "builtin_pb/sentencepiece_model.pb.h"
#include "data_ops/tokenizer/fuzz_driver.h"
#include "data_ops/tokenizer/testdata_files.h"
#include "data_ops/tokenizer/tokenizer.h"

namespace data_ops {
namespace {

using sentencepiece::ModelProto;
using sentencepiece::TrainerSpec;

std::string Changed(void (*change)(ModelProto*)) {
  ModelProto model;
  model.ParseFromString(TinyModel());
  change(&model);
  return model.SerializeAsString();
}

}  // namespace

std::vector<std::string> FuzzSeeds() {
  return {
      TinyModel(),
      Changed([](ModelProto* model) {
        model->mutable_trainer_spec()->set_model_type(TrainerSpec::BPE);
      }),
      Changed([](ModelProto* model) {
        model->mutable_normalizer_spec()->set_add_dummy_prefix(false);
      }),
      // So small that most mutations hit something that matters.
      Changed([](ModelProto* model) {
        model->mutable_pieces()->DeleteSubrange(20, model->pieces_size() - 20);
        model->mutable_normalizer_spec()->clear_precompiled_charsmap();
      }),
      Changed([](ModelProto* model) {
        model->mutable_pieces()->DeleteSubrange(5, model->pieces_size() - 5);
      }),
  };
}

}  // namespace data_ops

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using data_ops::Semantics;
  using data_ops::Tokenizer;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const Semantics semantics : {Semantics::kClassic, Semantics::k023}) {
    data_ops::TokenizerOptions options;
    options.model.semantics = semantics;
    options.num_threads = 1;
    options.cache_bytes = 4096;
    const auto created = Tokenizer::Create(bytes, options);
    if (!created.ok()) continue;
    const Tokenizer& tokenizer = *created.value();
    for (const std::string_view text :
         {"The cat sleeps.", "", " \u00a0\ufb01\uff21\u0301 --- <mask>",
          "\xff\xe2\x96 \u4e2d\u2581"}) {
      const auto ids = tokenizer.Encode(text);
      if (!ids.ok()) continue;
      const auto& values = ids.value();
      // Not every odd model decodes what it encodes, but none may crash.
      (void)tokenizer.Decode(values.data(), values.size()).ok();
      (void)tokenizer.EncodeWithSpans(text).ok();
    }
  }
  return 0;
}
