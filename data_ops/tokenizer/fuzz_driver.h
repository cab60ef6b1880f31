// SPDX-License-Identifier: Apache-2.0
//
// What a fuzz target offers. libFuzzer needs the first function alone; with
// fuzz_driver.cc, which mutates the seeds by itself and knows nothing of
// coverage, a target is an ordinary test for any compiler:
//
//   target             runs 2,000 mutations of the seeds
//   target 100000 7    runs 100,000, of random seed 7
//   target FILE...     runs the files, such as a crash that libFuzzer found

#ifndef DATA_OPS_TOKENIZER_FUZZ_DRIVER_H_
#define DATA_OPS_TOKENIZER_FUZZ_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace data_ops {

// Inputs worth mutating.
std::vector<std::string> FuzzSeeds();

}  // namespace data_ops

#endif  // DATA_OPS_TOKENIZER_FUZZ_DRIVER_H_
