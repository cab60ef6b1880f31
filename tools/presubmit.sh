#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What a change must pass: format, lint, types, licence lines, tests. Run tools/fix.sh first; it mends the first two.
#   tools/presubmit.sh          everything
#   tools/presubmit.sh --fast   without the tests
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/developer_tools.sh"

echo "format" && "${tools}/ruff" format --check --quiet .
git ls-files -coz --exclude-standard '*.cc' '*.h' | xargs -0 -r "${tools}/clang-format" --dry-run --Werror
echo "lint" && "${tools}/ruff" check --quiet .
echo "shell" && for script in tools/*.sh tools/bazel .ci/run; do bash -n "${script}"; done
echo "licence lines"
missing="$(git ls-files -co --exclude-standard '*.py' '*.cc' '*.h' '*.bzl' '*.sh' '*.gin' '*BUILD' | xargs grep -L 'SPDX-License-Identifier: Apache-2.0' || true)"
[[ -z "${missing}" ]] || { printf 'error: no SPDX line in:\n%s\n' "${missing}" >&2; exit 1; }
echo "types"
git ls-files -co --exclude-standard 'array_ops/*.py' 'data_ops/*.py' 'prompt_tuning/*.py' 'tools/*.py' | grep -v '_test\.py$' \
  | xargs "${tools}/mypy" --python-executable "$(tools/bazel info output_base 2> /dev/null)/external/python/venv/bin/python3"
[[ "${1:-}" == "--fast" ]] || { echo "tests" && tools/bazel test //...; }
