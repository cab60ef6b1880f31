#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the Python environment of this bundle, beside this file; may be repeated.
#   ./install [tpu | cuda | cpu]     tpu unless another is named
# Afterwards bazel-bin/prompt_tuning/train and the other programs run.
# On Debian and Ubuntu it installs the Python that the bundle was built for, where there is none.
set -euo pipefail

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

is_usable() {
  "$1" -c "import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '${version}')" 2> /dev/null
}

# Sets ${python}; false where there is none of the version that the native op was built for.
find_python() {
  for python in ${PROMPT_TUNING_PYTHON:+"${PROMPT_TUNING_PYTHON}"} "python${version}" python3 /usr/bin/python3; do
    ! is_usable "${python}" || return 0
  done
  return 1
}

install_python() {
  local sudo=() packages=("python${version}" "python${version}-venv")
  command -v apt-get > /dev/null || fail "no Python ${version} with venv found: install it, or name it in PROMPT_TUNING_PYTHON"
  if [[ "$(id -u)" != 0 ]]; then
    sudo -n true 2> /dev/null || fail "no Python ${version} with venv found: sudo apt-get install ${packages[*]}"
    sudo=(sudo)
  fi
  # A new machine updates itself for some minutes and holds the package lock meanwhile.
  "${sudo[@]}" apt-get -o DPkg::Lock::Timeout=600 -qq update
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq install -y \
    "${packages[@]}" > /dev/null || fail "apt-get cannot install ${packages[*]}; name a Python ${version} in PROMPT_TUNING_PYTHON"
}

install_packages() {
  venv/bin/python3 -m pip --quiet --disable-pip-version-check install \
    --no-deps --require-hashes --no-build-isolation -r "$1" \
    || fail "pip could not install $1; is the Python package index reachable?"
}

# Every compiled module of the bundle has to load; what only speeds up a CPU may be missing.
load_native_ops() {
  local module name
  while IFS= read -r module; do
    name="${module%.so}" name="${name#./}"
    PYTHONPATH="${PWD}" venv/bin/python3 -c 'import importlib, sys; importlib.import_module(sys.argv[1])' "${name//\//.}" \
      2> venv/load_error && continue
    [[ "${module}" == ./array_ops/* ]] \
      || fail "${module} does not load here ($(tail -n 1 venv/load_error)); build the bundle on a machine whose C library is not newer than this one's"
    echo "note: ${module} does not load here ($(tail -n 1 venv/load_error)); only runs on a CPU are slower for it" >&2
  done < <(find . -path ./venv -prune -o -name '*_module.so' -print | sort)
}

main() {
  local accelerator="${1:-tpu}" version machine python locks=third_party/python
  if [[ $# -gt 1 || ! "${accelerator}" =~ ^(tpu|cuda|cpu)$ ]]; then
    fail "arguments are ${*@Q}; accepted is one of tpu, cuda and cpu"
  fi
  cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
  read -r version machine < built_for
  [[ "$(uname -m)" == "${machine}" ]] \
    || fail "this bundle was built on ${machine} and this machine is $(uname -m); build it on such a machine"
  find_python || { install_python && find_python; } || fail "no Python ${version} with venv found"

  rm -rf venv
  "${python}" -m venv venv
  # What builds source distributions comes first: _BUILDERS of python_environment.bzl.
  awk '/^(cython|pdm-backend|setuptools|wheel)==/ {kept = 1} kept {print} !/\\$/ {kept = 0}' \
    "${locks}/requirements.lock" > venv/builders.txt
  install_packages venv/builders.txt
  install_packages "${locks}/requirements.lock"
  [[ "${accelerator}" == cpu ]] || install_packages "${locks}/requirements_${accelerator}.lock"
  load_native_ops
  echo "${accelerator}" > venv/complete
  echo "installed for ${accelerator}: ${PWD}/bazel-bin"
}

main "$@"
