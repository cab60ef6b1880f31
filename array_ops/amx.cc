// SPDX-License-Identifier: Apache-2.0
#include "array_ops/amx.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace soft_prompts {
namespace {

// The system gives it to a process that asks.
bool AskForAmx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  const bool has_amx_bf16 = (d >> 22 & 1) && (d >> 24 & 1);
  const bool has_avx512 = (b >> 16 & 1) && (b >> 30 & 1);  // F and BW.
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return has_amx_bf16 && has_avx512 &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool HasAmx() {
  static const bool has = AskForAmx();
  return has;
}

bool SplitsFloat32() {
  static const bool splits = [] {
    const char* said = std::getenv("PROMPT_TUNING_SPLIT_FLOAT32");
    return (!said || std::strcmp(said, "0") != 0) && HasAmx();
  }();
  return splits;
}

}  // namespace soft_prompts
