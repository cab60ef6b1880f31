# SPDX-License-Identifier: Apache-2.0
# Sourced by presubmit.sh and fix.sh: the pinned developer tools, in a virtual environment under the user's cache that
# is made again whenever the lock changes. Sets ${tools} to its bin folder and ${workspace} to the repository.
workspace="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "${workspace}"
lock=third_party/python/presubmit.lock
environment="${XDG_CACHE_HOME:-${HOME}/.cache}/prompt_tuning/presubmit-$(sha256sum "${lock}" | cut -c1-12)"
if [[ ! -e "${environment}/complete" ]]; then
  echo "installing the pinned developer tools (once)" >&2
  rm -rf "${environment}"
  "${PROMPT_TUNING_PYTHON:-/usr/bin/python3}" -m venv "${environment}"
  "${environment}/bin/pip" --quiet install --no-deps --require-hashes -r "${lock}"
  touch "${environment}/complete"
fi
tools="${environment}/bin"
