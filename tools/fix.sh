#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formats everything and applies the linter's safe fixes.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/developer_tools.sh"
"${tools}/ruff" check --fix --quiet .
"${tools}/ruff" format --quiet .
git ls-files -z '*.cc' '*.h' | xargs -0 -r "${tools}/clang-format" -i
