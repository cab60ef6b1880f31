# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What runs on the workers of a TPU. Each function is sent there by itself, so it must stand alone; it may be sent
# twice, so a second run must do no harm.

worker_unpack() {
  local sources="${HOME}/prompt_tuning"
  rm -rf "${sources}.new"
  mkdir "${sources}.new"
  tar -xzf "${HOME}/$1" -C "${sources}.new"
  if [[ ! -x "${sources}.new/install" && ! -x "${sources}.new/tools/bazel" ]]; then
    echo "error: the bundle has no install or tools/bazel at its top; make it with tools/bazel build" \
      "//prompt_tuning:train_bundle or git archive --format=tar.gz HEAD" >&2
    exit 1
  fi
  rm -rf "${sources}"
  mv "${sources}.new" "${sources}"
}

worker_clone() {
  local sources="${HOME}/prompt_tuning"
  rm -rf "${sources}.new"
  git clone --quiet -- "$1" "${sources}.new"
  git -C "${sources}.new" checkout --quiet --detach "$2"
  rm -rf "${sources}"
  mv "${sources}.new" "${sources}"
}

worker_install() {
  local binary="$1" setup="$2" candidate python=""
  if [[ -n "${setup}" ]]; then
    bash -euo pipefail -c "${setup}"
  fi
  if [[ -x "${HOME}/prompt_tuning/install" ]]; then # Built already; it finds its own Python.
    touch "${HOME}/prompt_tuning_environment"
    "${HOME}/prompt_tuning/install" tpu
    echo "$(hostname): ready"
    exit 0
  fi
  local usable='import ensurepip, os, sys, sysconfig, venv
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and os.path.exists(header)))'
  for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "${candidate}" > /dev/null && "${candidate}" -c "${usable}" 2> /dev/null; then
      python="$(command -v "${candidate}")"
      break
    fi
  done
  if [[ -z "${python}" ]]; then
    # A new TPU VM updates itself for some minutes and holds the package lock meanwhile.
    sudo apt-get -o DPkg::Lock::Timeout=600 -qq update
    sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq install -y \
      g++ python3.11 python3.11-dev python3.11-venv > /dev/null
    python="$(command -v python3.11)"
  fi
  printf 'export PROMPT_TUNING_PYTHON=%q\n' "${python}" > "${HOME}/prompt_tuning_environment"
  export PROMPT_TUNING_PYTHON="${python}"
  cd "${HOME}/prompt_tuning"
  tools/bazel build --config=tpu "${binary}"
  echo "$(hostname): ready"
}

worker_start() {
  local runs="${HOME}/prompt_tuning_runs" run="${HOME}/prompt_tuning_runs/$1" binary="$2"
  shift 2
  if [[ -e "${run}/pid" ]]; then
    echo "$(hostname): run $(basename "${run}") was started before; nothing done"
    exit 0
  fi
  if [[ -e "${runs}/current/pid" && ! -e "${runs}/current/exit_code" ]] \
    && kill -0 "$(cat "${runs}/current/pid")" 2> /dev/null; then
    echo "error: $(hostname) still runs $(basename "$(readlink "${runs}/current")"); end it with the command kill" >&2
    exit 1
  fi
  if [[ ! -x "${HOME}/prompt_tuning/bazel-bin/${binary}" ]]; then
    echo "error: $(hostname) has no built bazel-bin/${binary}; use the command install first" >&2
    exit 1
  fi
  cd "${HOME}/prompt_tuning"
  # shellcheck disable=SC1091
  source "${HOME}/prompt_tuning_environment"
  mkdir -p "${run}"
  ln -sfn "${run}" "${runs}/current"
  # A session of its own, so that kill reaches all of it.
  # shellcheck disable=SC2016
  JAX_PLATFORMS="${JAX_PLATFORMS:-tpu,cpu}" setsid nohup bash -c '
    trap : TERM # The binary gets it too; its exit code is waited for.
    code=0
    "$@" || code=$?
    echo "${code}" > "$0/exit_code.new" && mv "$0/exit_code.new" "$0/exit_code"' \
    "${run}" "bazel-bin/${binary}" "$@" > "${run}/log" 2>&1 < /dev/null &
  echo "$!" > "${run}/pid"
  echo "$(hostname): run $(basename "${run}") started"
}

worker_logs() {
  local log="${HOME}/prompt_tuning_runs/current/log"
  [[ -e "${log}" ]] || { echo "error: $(hostname) has no run yet" >&2; exit 1; }
  if [[ "$2" == true ]]; then
    exec tail -n "$1" -F "${log}"
  fi
  tail -n "$1" "${log}"
}

worker_status() {
  local run="${HOME}/prompt_tuning_runs/current" state="no run yet"
  if [[ -e "${run}/exit_code" ]]; then
    state="ended with code $(cat "${run}/exit_code")"
  elif [[ -e "${run}/pid" ]] && kill -0 "$(cat "${run}/pid")" 2> /dev/null; then
    state="running"
  elif [[ -e "${run}/pid" ]]; then
    state="gone without an exit code: killed, or the worker was restarted"
  fi
  echo "$(hostname): ${state}"
  [[ ! -e "${run}/log" ]] || tail -n 1 "${run}/log"
}

worker_kill() {
  local run="${HOME}/prompt_tuning_runs/current" grace="$1" waited pid holders
  if [[ -e "${run}/pid" && ! -e "${run}/exit_code" ]]; then
    pid="$(cat "${run}/pid")"
    kill -TERM -- "-${pid}" 2> /dev/null || true
    for ((waited = 0; waited < grace + 10; waited++)); do
      kill -0 -- "-${pid}" 2> /dev/null || break
      [[ "${waited}" -ne "${grace}" ]] || kill -KILL -- "-${pid}" 2> /dev/null || true
      sleep 1
    done
  fi
  # What still has a TPU device open was not started by the current run, or did not obey. /proc tells: not every image
  # has lsof.
  find_holders() {
    holders="$(sudo find /proc/[0-9]*/fd '(' -lname '/dev/accel*' -o -lname '/dev/vfio/[0-9]*' ')' 2> /dev/null \
      | cut -d/ -f3 | sort -u | tr '\n' ' ' || true)"
    [[ -n "${holders// /}" ]]
  }
  if find_holders; then
    echo "$(hostname): ending processes that hold the TPU: ${holders}"
    # shellcheck disable=SC2086
    sudo kill -KILL ${holders} || true
    for ((waited = 0; waited < 10; waited++)); do
      find_holders || break
      sleep 1
    done
  fi
  if [[ -n "${holders// /}" ]]; then
    echo "error: $(hostname): the TPU is still held by processes ${holders}" >&2
    exit 1
  fi
  sudo rm -f /tmp/libtpu_lockfile
  echo "$(hostname): the TPU is free"
}
