#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The numbers of the original implementation (testdata/golden_a), computed on whatever device JAX finds: a GPU, say,
# for which the locked environment has no library. Needs a Python with jax, flax, optax, orbax, tensorstore, safetensors,
# absl-py and tensorboard.
#
#   tests/environment/accelerator.sh PYTHON [SHARDS]       SHARDS: processes for each test file (default: 3)
#
# Products are computed in float32 proper: a GPU would take TF32 by itself, and differ in the fourth digit.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python="$1"
shards="${2:-3}"
logs="$(mktemp -d)"
export PYTHONPATH=. JAX_DEFAULT_MATMUL_PRECISION=highest XLA_PYTHON_CLIENT_PREALLOCATE=false TEST_TOTAL_SHARDS="${shards}"

"${python}" -c 'import jax; print(f"jax {jax.__version__} on {jax.devices()[0].device_kind}")' || exit 1
declare -A started
for file in tests/compatibility/golden_{checkpoints,decoder_only,extended,models,prompts,training}_test.py; do
  for ((shard = 0; shard < shards; shard++)); do
    log="${logs}/$(basename "${file}" .py)_${shard}"
    TEST_SHARD_INDEX="${shard}" "${python}" "${file}" > "${log}" 2>&1 &
    started["${log}"]=$!
  done
done
failed=0
for log in $(printf '%s\n' "${!started[@]}" | sort); do
  wait "${started[${log}]}" || failed=1
  echo "$(basename "${log}"): $(grep -E '^Ran ' "${log}") $(tail -n 1 "${log}")"
  grep -E '^(FAIL|ERROR): |^Max (abs|rel)|^Mismatched' "${log}"
done
exit "${failed}"
