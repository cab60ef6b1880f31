# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every launch script says, and how it refuses to start. The script defines meaning(), one line for a variable.

say() { printf '%s: %s\n' "${launch_name}" "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

misuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Names everything that is missing at once.
require() {
  local name missing=()
  for name in "$@"; do
    [[ -n "${!name:-}" ]] || missing+=("${name}")
  done
  [[ "${#missing[@]}" -gt 0 ]] || return 0
  echo "error: these variables are not set:" >&2
  for name in "${missing[@]}"; do
    printf '  %-12s %s\n' "${name}" "$(meaning "${name}")" >&2
  done
  echo "Set them with export, or in front of the command; --help lists all." >&2
  exit 2
}

# Prints a command as a line that a shell would run.
print_command() {
  local line
  printf -v line '%q ' "$@"
  printf '%s\n' "${line% }" >&"${dry_run_output}"
}
