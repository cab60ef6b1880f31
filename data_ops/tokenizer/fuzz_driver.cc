// SPDX-License-Identifier: Apache-2.0

#include "data_ops/tokenizer/fuzz_driver.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

namespace data_ops {
namespace {

void RunOne(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()),
                         input.size());
}

// Bytes changed, left out, doubled, or taken from another seed.
std::string Mutate(const std::vector<std::string>& seeds,
                   std::mt19937* random) {
  const auto below = [&](size_t n) { return n == 0 ? 0 : (*random)() % n; };
  std::string input = seeds[below(seeds.size())];
  for (size_t i = 1 + below(6); i > 0; --i) {
    const size_t at = below(input.size() + 1);
    const size_t count = below(1 + below(64));
    switch (below(6)) {
      case 0:
        input.insert(at, 1, static_cast<char>((*random)()));
        break;
      case 1:
        input.erase(at, count);
        break;
      case 2:
        input.insert(at, input.substr(below(input.size() + 1), count));
        break;
      case 3: {
        const std::string& other = seeds[below(seeds.size())];
        input.insert(at, other.substr(below(other.size() + 1), count));
        break;
      }
      default:
        if (at < input.size()) input[at] = static_cast<char>((*random)());
    }
  }
  return input;
}

int Main(int argc, char** argv) {
  char* end = nullptr;
  const long count = argc > 1 ? std::strtol(argv[1], &end, 10) : 2000;
  if (argc > 1 && *end != '\0') {
    for (int i = 1; i < argc; ++i) {
      std::ifstream file(argv[i], std::ios::binary);
      if (!file) {
        std::cerr << "cannot read " << argv[i] << "\n";
        return 1;
      }
      RunOne({std::istreambuf_iterator<char>(file), {}});
    }
    return 0;
  }
  std::mt19937 random(argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 1);
  const std::vector<std::string> seeds = FuzzSeeds();
  for (const std::string& seed : seeds) RunOne(seed);
  for (long i = 0; i < count; ++i) RunOne(Mutate(seeds, &random));
  std::cerr << seeds.size() << " seeds and " << count << " mutations run\n";
  return 0;
}

}  // namespace
}  // namespace data_ops

int main(int argc, char** argv) { return data_ops::Main(argc, argv); }
