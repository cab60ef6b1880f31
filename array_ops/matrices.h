// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_MATRICES_H_
#define ARRAY_OPS_MATRICES_H_

#include <cstdint>
#include <vector>

#include "dnnl.hpp"

namespace soft_prompts {

// How an array of matrices lies in memory: `dims` and `strides` in elements,
// the last two axes those of the matrices.
struct Layout {
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;
};

// `out = a b` on the calling thread alone. The types are float32 or bfloat16:
// all alike, a and b bfloat16, or, where SkinnyProduct takes a part of the
// rows, b alone; sums are float32. A leading axis of size 1 is broadcast.
//
// oneDNN makes a program for each new set of layouts, which the thread keeps.
// Few rows are SkinnyProduct's, or where the processor has AMX TileProduct's,
// and there large products in float32 are SplitProduct's;
// PROMPT_TUNING_SPLIT_FLOAT32=0 in the environment keeps float32 numbers from
// both. The processor has AVX-512F.
// Throws dnnl::error, and std::invalid_argument for other types.
void Multiply(dnnl::memory::data_type a_type, const Layout& a,
              const void* a_data, dnnl::memory::data_type b_type,
              const Layout& b, const void* b_data,
              dnnl::memory::data_type out_type, const Layout& out,
              void* out_data);

}  // namespace soft_prompts

#endif  // ARRAY_OPS_MATRICES_H_
