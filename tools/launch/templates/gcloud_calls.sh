# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# gcloud with retries and dry runs. Knows the TPU by ${TPU_NAME} and ${place}, and nothing of what is done with it.

# What a second attempt cannot mend, and what it often does. Anything else counts as permanent.
readonly permanent_code='PERMISSION_DENIED|UNAUTHENTICATED|INVALID_ARGUMENT|NOT_FOUND|ALREADY_EXISTS|FAILED_PRECOND'
readonly permanent_phrase='quota'
readonly transient_code='UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|INTERNAL|RESOURCE_EXHAUSTED|HttpError.*(429|50[0234])'
readonly transient_phrase='connection (reset|refused|closed)|timed out|broken pipe|network is unreachable|try again'
readonly longest_pause=60

# Whether the failure in ${error_file}, with exit code $1, may pass by itself.
is_transient() {
  if grep -qE "${permanent_code}" "${error_file}" || grep -qiE "${permanent_phrase}" "${error_file}"; then
    return 1
  fi
  # 255 is ssh's own failure, not the remote command's; a new VM also refuses keys for a moment.
  [[ "$1" -eq 255 ]] || grep -qE "${transient_code}" "${error_file}" || grep -qiE "${transient_phrase}" "${error_file}"
}

# Runs gcloud, again after a passing failure. The last error is in ${error_file}, the number of attempts in ${attempts}.
call() {
  attempts=0
  if [[ "${dry_run}" == true ]]; then
    print_command gcloud "$@"
    return 0
  fi
  local pause="${RETRY_SECONDS}" code
  while true; do
    code=0
    { gcloud "$@" 2>&1 1>&3 < /dev/null | tee "${error_file}" >&"${error_output}" || code="${PIPESTATUS[0]}"; } 3>&1
    attempts=$((attempts + 1))
    [[ "${code}" -ne 0 ]] || return 0
    if [[ "${attempts}" -gt "${RETRIES}" ]] || ! is_transient "${code}"; then
      return "${code}"
    fi
    say "a passing failure, attempt ${attempts} of $((RETRIES + 1)); again in ${pause} s"
    sleep "${pause}"
    pause=$((pause * 2 > longest_pause ? longest_pause : pause * 2))
  done
}

# Prints the state of the queued resource, or ABSENT; $1 is what a dry run takes it to be.
queued_resource_state() {
  local state code=0 error_output=5
  state="$(call compute tpus queued-resources describe "${TPU_NAME}" "${place[@]}" "--format=value(state.state)")" \
    || code=$?
  if [[ "${dry_run}" == true ]]; then
    echo "$1"
  elif [[ "${code}" -eq 0 ]]; then
    echo "${state:-UNKNOWN}"
  elif grep -qE 'NOT_FOUND|not found' "${error_file}"; then
    echo ABSENT
  else
    cat "${error_file}" >&2
    return "${code}"
  fi
}

# remote WORKER TASK ARGUMENT...: runs a task, one of the functions worker_*, on one worker or on all.
remote() {
  local worker="$1" task="$2" script command
  shift 2
  script="set -euo pipefail; $(declare -f "${task}"); ${task} \"\$@\""
  printf -v command '%q ' bash -c "${script}" "${launch_name}" "$@"
  call compute tpus tpu-vm ssh "${TPU_NAME}" "${place[@]}" "--worker=${worker}" "--command=${command% }"
}
