#!/usr/bin/env bash
#SBATCH --job-name=@name@
#SBATCH --nodes=@workers@
#SBATCH --ntasks-per-node=@gpus@
#SBATCH --gres=@gres@
#SBATCH --output=%x-%j.log
#SBATCH --signal=TERM@120
# SPDX-License-Identifier: Apache-2.0
# Made by pod_launch @name@; to change it, change that target and build it again. --help explains.
set -euo pipefail
((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || { echo "error: this needs bash 4.4 or newer" >&2; exit 2; }

#@settings

readonly commands='install, submit, run, status, logs, cancel'

usage() {
  cat << END
Launches ${binary} with Slurm on ${workers} nodes of ${gpus} GPUs, one JAX process on each GPU.

  ${launch_name}.sh [--dry_run] COMMAND [-- FLAGS OF THE BINARY]

Commands
  install   build the binary in SOURCE_DIR and add JAX's GPU support; once, where the network is
  submit    hand this script to sbatch; sbatch's own variables (SBATCH_PARTITION, SBATCH_ACCOUNT,
            SBATCH_TIMELIMIT) choose where and how long
  run       what the job does, in an allocation of your own (salloc): srun with JAX's coordinator
  status    your jobs of this launch, waiting and running
  logs      the end of the newest log in this folder; --follow goes on
  cancel    end them: Slurm sends SIGTERM first, so that training can save

--dry_run prints the sbatch, bazel, srun, squeue or scancel commands and runs none.

Variables
  SOURCE_DIR        a checkout that every node sees (the one that Bazel ran in)
END
  local name
  for name in ${run_variables[@]+"${run_variables[@]}"}; do
    printf '  %-16s  for %s\n' "${name}" "${variable_uses[${name}]}"
  done
  cat << END
  COORDINATOR_PORT  run: port on the first node (from the job's number)
  LOG_LINES         logs: how many lines (100)

Slurm ends the job two minutes early with SIGTERM, so that training can save; submit again to go on.
END
}

#@include messages.sh

meaning() {
  case "$1" in
    SOURCE_DIR) echo "a checkout of the repository that every node sees" ;;
    *) echo "for ${variable_uses[$1]} of the run" ;;
  esac
}

# Runs a command, or prints it as a line that a shell would run.
call() {
  if [[ "${dry_run}" == true ]]; then
    print_command "$@"
  else
    "$@"
  fi
}

install() {
  cd "${SOURCE_DIR}"
  call tools/bazel build --config=cuda "${binary}"
}

submit() {
  local script
  script="$(readlink -f "${BASH_SOURCE[0]}")"
  export SOURCE_DIR
  call sbatch --export=ALL "${script}" run -- ${extra[@]+"${extra[@]}"}
}

run() {
  local hosts arguments=()
  hosts="$(scontrol show hostnames "${SLURM_JOB_NODELIST}")" || fail "scontrol cannot read ${SLURM_JOB_NODELIST}"
  # The ports that JAX itself would choose from; the job's number keeps jobs on one node apart.
  local port="${COORDINATOR_PORT:-$((61440 + SLURM_JOB_ID % 4096))}"
  set_arguments
  cd "${SOURCE_DIR}"
  [[ -x "bazel-bin/${binary_path}" ]] \
    || fail "${SOURCE_DIR} has no built bazel-bin/${binary_path}; use the command install first"
  # Each process learns its number and its GPU from Slurm, and only the coordinator from here.
  call env "JAX_COORDINATOR_ADDRESS=${hosts%%$'\n'*}:${port}" JAX_PLATFORMS=cuda,cpu \
    srun "--nodes=${workers}" "--ntasks=$((workers * gpus))" "--ntasks-per-node=${gpus}" --kill-on-bad-exit=1 --label \
    "bazel-bin/${binary_path}" ${arguments[@]+"${arguments[@]}"} ${extra[@]+"${extra[@]}"}
}

status() { call squeue "--user=$(id -un)" "--name=${launch_name}" "--format=%i %T %M %l %D %R"; }

cancel() { call scancel "--user=$(id -un)" "--name=${launch_name}"; }

# The log is where submit was used, by the job's number.
logs() {
  local newest
  newest="$(find . -maxdepth 1 -name "${launch_name}-*.log" -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)"
  [[ -n "${newest}" ]] || fail "there is no ${launch_name}-*.log in ${PWD}; look where submit was used"
  if [[ "${follow}" == true ]]; then
    call tail -n "${LOG_LINES}" -F "${newest}"
  else
    call tail -n "${LOG_LINES}" "${newest}"
  fi
}

parse() {
  while [[ $# -gt 0 ]]; do
    case "$1" in
      --dry_run) dry_run=true ;;
      --follow) follow=true ;;
      --help | -h) usage && exit 0 ;;
      --) shift && extra=("$@") && return ;;
      -*) misuse "option $1 is not known; flags of the binary come after --. See --help" ;;
      install | submit | run | status | logs | cancel)
        [[ -z "${command}" ]] || misuse "two commands, ${command} and $1; give one"
        command="$1"
        ;;
      *) misuse "command $1 is not known; commands are ${commands}" ;;
    esac
    shift
  done
}

main() {
  cd "${BUILD_WORKING_DIRECTORY:-.}"
  dry_run=false dry_run_output=1 follow=false command="" extra=()
  parse "$@"
  # Handed to sbatch by itself, this is the job.
  [[ -n "${command}" || -z "${SLURM_JOB_ID:-}" ]] || command=run
  [[ -n "${command}" ]] || misuse "no command; commands are ${commands}. See --help"
  SOURCE_DIR="${SOURCE_DIR:-${BUILD_WORKSPACE_DIRECTORY:-}}" LOG_LINES="${LOG_LINES:-100}"
  [[ "${#extra[@]}" -eq 0 || "${command}" =~ ^(submit|run)$ ]] || misuse "flags after -- are for submit and run"
  [[ "${follow}" == false || "${command}" == logs ]] || misuse "--follow is for logs"
  [[ "${LOG_LINES}" =~ ^[0-9]+$ ]] || misuse "LOG_LINES is ${LOG_LINES@Q}; it must be a whole number"
  case "${command}" in
    install) require SOURCE_DIR ;;
    submit | run) require SOURCE_DIR ${run_variables[@]+"${run_variables[@]}"} ;;
  esac
  [[ ! "${command}" =~ ^(install|submit|run)$ || -d "${SOURCE_DIR}" ]] \
    || misuse "SOURCE_DIR ${SOURCE_DIR@Q} is not a folder"
  if [[ "${command}" == run ]]; then
    [[ -n "${SLURM_JOB_ID:-}" ]] || misuse "run is for inside a Slurm job; use submit, or salloc first"
    [[ "${SLURM_JOB_NUM_NODES:-${workers}}" == "${workers}" ]] \
      || fail "the job has ${SLURM_JOB_NUM_NODES} nodes, this needs ${workers}"
  fi
  "${command}"
}

main "$@"
