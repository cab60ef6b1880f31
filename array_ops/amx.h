// SPDX-License-Identifier: Apache-2.0
#ifndef ARRAY_OPS_AMX_H_
#define ARRAY_OPS_AMX_H_

namespace soft_prompts {

// Whether this process may use AMX for bfloat16, and AVX-512F and AVX-512BW
// beside it. The first call asks the system for it.
bool HasAmx();

// Whether float32 numbers may be computed with as sums of bfloat16: where AMX
// is, unless the environment has PROMPT_TUNING_SPLIT_FLOAT32=0.
bool SplitsFloat32();

}  // namespace soft_prompts

#endif  // ARRAY_OPS_AMX_H_
