#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Made by pod_launch @name@; to change it, change that target and build it again. --help explains.
set -euo pipefail
((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || { echo "error: this needs bash 4.4 or newer" >&2; exit 2; }

#@settings

readonly commands='create, install, run, logs, status, kill, delete, all'

usage() {
  cat << END
Launches ${binary} on a Cloud TPU ${accelerator}: ${chips} chips, ${workers} worker(s).

  ${launch_name}.sh [OPTIONS] COMMAND [-- FLAGS OF THE BINARY]

Commands
  create    ask for the TPU and wait until it is there; what does not arrive in time is deleted again
  install   put BUNDLE or the sources on all workers, and make there what the binary needs
  run       start the binary on all workers; it goes on when you disconnect
  logs      show the end of the log of one worker (WORKER, or all)
  status    state of the TPU, and of the run on each worker
  kill      end the run and whatever else holds the TPU
  delete    delete the TPU; a TPU that was created bills until then
  all       create, install, run

Options
  --dry_run   print every gcloud command and run none
  --spot      create: cheap, may be taken away at any time
  --reserved  create: from the project's reservation
  --follow    logs: go on as the log grows
  --help      this text

Variables
  PROJECT, ZONE, TPU_NAME  which TPU${default_zone:+; ZONE is ${default_zone} unless set}
END
  local name
  for name in ${run_variables[@]+"${run_variables[@]}"}; do
    printf '  %-23s  run: for %s\n' "${name}" "${variable_uses[${name}]}"
  done
  cat << END
  BUNDLE                   install: bazel-bin/prompt_tuning/train_bundle.tar.gz of //prompt_tuning:train_bundle,
                           or an archive of the repository, which is built on the workers
  REPOSITORY, REVISION     install: instead of BUNDLE, what to clone, and the revision (HEAD)
  SETUP                    install: a shell command run on each worker first (none)
  VERSION                  create: software version of the TPU VM (${default_version})
  SERVICE_ACCOUNT, NETWORK, SUBNETWORK  create: those of the TPU VMs (the project's defaults)
  WAIT_MINUTES             create: how long to wait for the TPU (60)
  RETRIES, RETRY_SECONDS   attempts after a passing failure, and the first pause, doubled each time (4, 5)
  GRACE_SECONDS            kill: time for the run to save and end (60)
  RUN_ID                   run: name of the run on the workers (the time of day)
  WORKER, LOG_LINES        logs: which worker or all, and how many lines (0, 100)

Example
  export PROJECT=my-project ZONE=${default_zone:-us-central2-b} TPU_NAME=${launch_name//_/-} BUNDLE=bundle.tar.gz
  ${launch_name}.sh --dry_run all     # look at it first
  ${launch_name}.sh all && ${launch_name}.sh logs --follow
  ${launch_name}.sh delete            # stops the bill
END
}

#@include messages.sh

meaning() {
  case "$1" in
    PROJECT) echo "the Google Cloud project that pays" ;;
    ZONE) echo "the zone of the TPU, such as us-central2-b" ;;
    TPU_NAME) echo "a name for the TPU, of your choice" ;;
    BUNDLE) echo "an archive of the repository; or set REPOSITORY to clone from" ;;
    *) echo "for ${variable_uses[$1]} of the run" ;;
  esac
}

require_whole_number() {
  local name
  for name in "$@"; do
    [[ "${!name}" =~ ^[0-9]+$ ]] || misuse "${name} is ${!name@Q}; it must be a whole number"
  done
}

#@include gcloud_calls.sh
#@include tpu_worker.sh

# ----- commands

create() {
  local state request code=0
  state="$(queued_resource_state ABSENT)" || fail "cannot ask for ${TPU_NAME}; the reason is above"
  [[ "${state}" == ABSENT ]] || fail "${TPU_NAME} exists (${state}): use it, delete it, or choose another TPU_NAME"
  request=(compute tpus queued-resources create "${TPU_NAME}" "${place[@]}" "--node-id=${TPU_NAME}")
  request+=("--accelerator-type=${accelerator}" "--runtime-version=${VERSION}")
  request+=("--valid-until-duration=${WAIT_MINUTES}m")
  request+=(${provisioning[@]+"${provisioning[@]}"})
  [[ -z "${SERVICE_ACCOUNT:-}" ]] || request+=("--service-account=${SERVICE_ACCOUNT}")
  [[ -z "${NETWORK:-}" ]] || request+=("--network=${NETWORK}")
  [[ -z "${SUBNETWORK:-}" ]] || request+=("--subnetwork=${SUBNETWORK}")
  creating=true
  call "${request[@]}" || code=$?
  if [[ "${code}" -ne 0 && "${attempts}" -eq 1 ]] && ! is_transient "${code}"; then
    creating=false # Refused at once: there is nothing of ours to delete.
    fail "the request for ${accelerator} was refused; the reason is above"
  elif [[ "${code}" -ne 0 ]] && ! grep -q ALREADY_EXISTS "${error_file}"; then
    fail "the request for ${accelerator} failed after ${attempts} attempts"
  fi # ALREADY_EXISTS on a later attempt: an earlier one arrived after all.
  wait_until_active
  creating=false
  billing=true
  [[ "${dry_run}" == true ]] || say "${TPU_NAME} is ready and bills until: ${launch_name}.sh delete"
}

wait_until_active() {
  local state="" before="" waited=0
  while true; do
    state="$(queued_resource_state ACTIVE)" || fail "cannot ask for the state of ${TPU_NAME}"
    [[ "${state}" == "${before}" || "${dry_run}" == true ]] || say "${TPU_NAME}: ${state}"
    before="${state}"
    case "${state}" in
      ACTIVE) return ;;
      FAILED | SUSPENDING | SUSPENDED | DELETING | ABSENT) fail "the request for ${accelerator} ended as ${state}" ;;
    esac
    [[ "${waited}" -lt $((WAIT_MINUTES * 60)) ]] \
      || fail "no ${accelerator} within ${WAIT_MINUTES} minutes; set WAIT_MINUTES, try another zone, or --spot"
    sleep "${POLL_SECONDS}"
    waited=$((waited + POLL_SECONDS))
  done
}

install() {
  if [[ -n "${BUNDLE:-}" ]]; then
    [[ "${BUNDLE}" == /* ]] || BUNDLE="${PWD}/${BUNDLE}" # So that scp takes no colon in it for a host.
    call compute tpus tpu-vm scp "${BUNDLE}" "${TPU_NAME}:prompt_tuning_bundle.tar.gz" "${place[@]}" --worker=all \
      || fail "the bundle could not be copied"
    remote all worker_unpack prompt_tuning_bundle.tar.gz || fail "the bundle could not be unpacked"
  else
    remote all worker_clone "${REPOSITORY}" "${REVISION}" || fail "${REPOSITORY} could not be cloned at ${REVISION}"
  fi
  remote all worker_install "${binary}" "${SETUP:-}" || fail "the installation failed; the reason is above"
}

run() {
  local arguments=()
  set_arguments
  remote all worker_start "${RUN_ID}" "${binary_path}" ${arguments[@]+"${arguments[@]}"} ${extra[@]+"${extra[@]}"} \
    || fail "the run did not start on every worker; see: ${launch_name}.sh status"
}

logs() { remote "${WORKER}" worker_logs "${LOG_LINES}" "${follow}"; }

status() {
  local state
  state="$(queued_resource_state ACTIVE)" || fail "cannot ask for the state of ${TPU_NAME}"
  [[ "${dry_run}" == true ]] || echo "${TPU_NAME}: ${state}"
  [[ "${state}" != ACTIVE ]] || remote all worker_status
}

kill_run() { remote all worker_kill "${GRACE_SECONDS}" || fail "not every worker could be freed; run kill again"; }

# Deletes the TPU with its request. That there is none is as good.
delete() {
  local error_output=5 code=0
  call compute tpus queued-resources delete "${TPU_NAME}" "${place[@]}" --force || code=$?
  if [[ "${code}" -ne 0 ]] && ! grep -qE 'NOT_FOUND|not found' "${error_file}"; then
    cat "${error_file}" >&2
    return "${code}"
  fi
  [[ "${dry_run}" == true ]] || say "${TPU_NAME} is deleted"
}

# ----- the program

on_exit() {
  local code=$?
  # Whoever listened may be gone, with the terminal: what cannot be said must not end the cleaning.
  set +e
  trap '' HUP INT PIPE TERM
  trap - EXIT
  if [[ "${creating}" == true ]]; then
    say "creation did not finish; deleting what there is of ${TPU_NAME}"
    delete || say "WARNING: ${TPU_NAME} may exist and bill; try again: ${launch_name}.sh delete"
  elif [[ "${billing}" == true && "${code}" -ne 0 ]]; then
    say "${TPU_NAME} still exists and bills; repeat the step that failed, or: ${launch_name}.sh delete"
  fi
  rm -f "${error_file}"
  exit "${code}"
}

parse() {
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --dry_run) dry_run=true ;;
      --spot | --reserved) provisioning+=("$1") ;;
      --follow) follow=true ;;
      --help | -h) usage && exit 0 ;;
      --) shift && extra=("$@") && return ;;
      -*) misuse "option $1 is not known; flags of the binary come after --. See --help" ;;
      create | install | run | logs | status | kill | delete | all)
        [[ -z "${command}" ]] || misuse "two commands, ${command} and $1; give one"
        command="$1"
        ;;
      *) misuse "command $1 is not known; commands are ${commands}" ;;
    esac
    shift
  done
}

check() {
  local needed=(PROJECT ZONE TPU_NAME)
  [[ -n "${command}" ]] || misuse "no command; commands are ${commands}. See --help"
  [[ "${#provisioning[@]}" -le 1 ]] || misuse "--spot and --reserved exclude each other"
  [[ "${#provisioning[@]}" -eq 0 || "${command}" =~ ^(create|all)$ ]] \
    || misuse "${provisioning[0]} is for create and all"
  [[ "${#extra[@]}" -eq 0 || "${command}" =~ ^(run|all)$ ]] || misuse "flags after -- are for run and all"
  [[ "${follow}" == false || "${command}" == logs ]] || misuse "--follow is for logs"
  [[ ! "${command}" =~ ^(install|all)$ || -n "${REPOSITORY:-}" ]] || needed+=(BUNDLE)
  [[ ! "${command}" =~ ^(run|all)$ ]] || needed+=(${run_variables[@]+"${run_variables[@]}"})
  require "${needed[@]}"
  require_whole_number WAIT_MINUTES POLL_SECONDS RETRIES RETRY_SECONDS GRACE_SECONDS LOG_LINES
  [[ "${WAIT_MINUTES}" -gt 0 && "${POLL_SECONDS}" -gt 0 ]] || misuse "WAIT_MINUTES and POLL_SECONDS must be above 0"
  [[ "${WORKER}" == all || ("${WORKER}" =~ ^[0-9]+$ && "${WORKER}" -lt "${workers}") ]] \
    || misuse "WORKER is ${WORKER@Q}; ${accelerator} has the workers 0 to $((workers - 1)), or all"
  [[ "${RUN_ID}" =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ && "${RUN_ID}" != current ]] \
    || misuse "RUN_ID is ${RUN_ID@Q}; it may hold letters, digits, _ . and -"
  if [[ "${command}" =~ ^(install|all)$ && -n "${BUNDLE:-}" && ! -f "${BUNDLE}" ]]; then
    misuse "BUNDLE ${BUNDLE@Q} is not a file; make one with tools/bazel build //prompt_tuning:train_bundle"
  fi
  [[ "${dry_run}" == true ]] || command -v gcloud > /dev/null \
    || fail "gcloud is not on PATH; install the Google Cloud CLI"
}

main() {
  cd "${BUILD_WORKING_DIRECTORY:-.}"
  dry_run=false follow=false command="" extra=() provisioning=()
  parse "$@"
  ZONE="${ZONE:-${default_zone}}" VERSION="${VERSION:-${default_version}}" REVISION="${REVISION:-HEAD}"
  WAIT_MINUTES="${WAIT_MINUTES:-60}" POLL_SECONDS="${POLL_SECONDS:-20}"
  RETRIES="${RETRIES:-4}" RETRY_SECONDS="${RETRY_SECONDS:-5}" GRACE_SECONDS="${GRACE_SECONDS:-60}"
  RUN_ID="${RUN_ID:-$(date -u +%Y%m%d-%H%M%S)}" WORKER="${WORKER:-0}" LOG_LINES="${LOG_LINES:-100}"
  check
  place=("--project=${PROJECT}" "--zone=${ZONE}" --quiet)
  # 4: where a dry run prints, also from inside $(...). 5: for errors that are not shown at once.
  exec 4>&1 5> /dev/null
  dry_run_output=4 error_output=2 attempts=0 creating=false billing=false
  error_file="$(mktemp)"
  trap on_exit EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
  case "${command}" in
    kill) kill_run ;;
    all)
      create
      install
      run
      [[ "${dry_run}" == true ]] || say "running; watch it with: ${launch_name}.sh logs --follow"
      ;;
    *) "${command}" ;;
  esac
}

main "$@"
