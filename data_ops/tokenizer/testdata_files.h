// SPDX-License-Identifier: Apache-2.0
//
// What C++ tests read and make: the tiny model, and texts that are hard to
// tokenize exactly.

#ifndef DATA_OPS_TOKENIZER_TESTDATA_FILES_H_
#define DATA_OPS_TOKENIZER_TESTDATA_FILES_H_

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace data_ops {

// Bazel runs tests where this path is valid.
inline const std::string& TinyModel() {
  static const auto* model = [] {
    std::ifstream file("data_ops/tokenizer/testdata/tiny.model",
                       std::ios::binary);
    return new std::string(std::istreambuf_iterator<char>(file), {});
  }();
  return *model;
}

// Words, runs of one character, odd white space, broken UTF-8, sentinels.
inline std::string HardText(std::mt19937* random) {
  static const std::vector<std::string> fragments = {
      "the",         "cat",          "sleeps",    "incomprehensible",
      "foo(bar)",    "a-b",          " ",         " ",
      "  ",          "\t",           "\u00a0",    "\u3000",
      "\u2581",      "\u00b4",       "\u0301",    "\ufb01",
      "\uff21",      "\u200b",       "<mask>",    "\xe2\x96",
      "\xff",        "\xed\xa0\x80", "caf\u00e9", "\u4e2d",
      "-",           "...",          "=====",     "0123456789",
      "<extra_id_0>"};
  std::string text;
  for (unsigned i = (*random)() % 30; i > 0; --i) {
    const std::string& fragment = fragments[(*random)() % fragments.size()];
    for (unsigned n = (*random)() % 8 == 0 ? (*random)() % 20 : 1; n > 0; --n) {
      text += fragment;
    }
  }
  if ((*random)() % 10 == 0) text.push_back('\0');
  return text;
}

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_TESTDATA_FILES_H_
