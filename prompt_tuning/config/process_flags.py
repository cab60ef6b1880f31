# SPDX-License-Identifier: Apache-2.0
"""T5X's flags that say which processes belong to a run, and what kind of run it is.

`jax.distributed` gets what the flags and the environment say, and finds the rest itself in the
variables of Slurm, Open MPI or a TPU slice. JAX is only loaded where there is something to join.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from absl import flags

# {--run_mode of t5x.main, which is the program's name too: its entry point}
_RUN_MODES = {"train": "train", "eval": "evaluate", "infer": "infer"}
_REFUSED_MODES = ("precompile", "export")

PROCESS_FLAGS = (
    "multiprocess_gpu",
    "coordinator_address",
    "process_count",
    "process_index",
    "initialization_timeout",
    "heartbeat_timeout",
)
# {flag: variable that stands for it}
_VARIABLES = {
    "coordinator_address": "JAX_COORDINATOR_ADDRESS",
    "process_count": "JAX_NUM_PROCESSES",
    "process_index": "JAX_PROCESS_ID",
}
# {arguments of jax.distributed.initialize that have another name}
_ARGUMENTS = {
    "process_count": "num_processes",
    "process_index": "process_id",
    "heartbeat_timeout": "heartbeat_timeout_seconds",
}
FLAG_NAMES = (*PROCESS_FLAGS, "run_mode")


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags; a second call changes nothing."""
    if "multiprocess_gpu" in flag_values:
        return
    flags.DEFINE_bool(
        "multiprocess_gpu",
        False,
        "Join the other processes of the run, on whatever devices; JAX finds them by the variables "
        "of the cluster (Slurm, Open MPI, TPU). Not needed where the other flags or variables say "
        "that there are several.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "coordinator_address",
        None,
        "host:port of process 0, which the others join; or JAX_COORDINATOR_ADDRESS.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_count",
        None,
        "Number of processes; or JAX_NUM_PROCESSES.",
        1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_index",
        None,
        "Number of this process from 0; or JAX_PROCESS_ID.",
        0,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "heartbeat_timeout",
        None,
        "Seconds without a sign of life after which a process counts as dead and the others stop; "
        "JAX's default is 100.",
        1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "initialization_timeout",
        None,
        "Seconds to wait for the other processes.",
        1,
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "run_mode",
        None,
        [*_RUN_MODES, *_REFUSED_MODES],
        "t5x.main's choice of the program; it must be the one that was started.",
        case_sensitive=False,
        flag_values=flag_values,
    )


def check_run_mode(entry_point: str, run_mode: str | None) -> None:
    """The mode, where one is given, is that of the program.

    Raises:
        ValueError: it is another; says which program it is.
    """
    if run_mode is None or _RUN_MODES.get(run_mode) == entry_point:
        return
    if run_mode in _REFUSED_MODES:
        accepted = ", ".join(_RUN_MODES)
        raise ValueError(
            f"--run_mode={run_mode} is not supported; accepted are {accepted}, each by the program "
            "of that name, which compiles what it needs and keeps it in JAX's compilation cache."
        )
    raise ValueError(
        f"--run_mode={run_mode} is another program: start tools/bazel run "
        f"//prompt_tuning:{run_mode}, or leave the flag out."
    )


def initialize(given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> None:
    """Joins the processes of the run, if flags or environment say that there are others.

    Args:
        given: values of PROCESS_FLAGS.
        environment: variables.

    Raises:
        ValueError: jax.distributed refuses the values, or the others did not come in time.
    """
    settings = _settings(given, environment)
    if not settings and not given["multiprocess_gpu"] and not _in_cluster(environment):
        return
    if timeout := settings.get("heartbeat_timeout"):
        settings["shutdown_timeout_seconds"] = timeout
    jax = importlib.import_module("jax")
    # It would take SIGTERM away from the run, which saves and ends by itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**{_ARGUMENTS.get(k, k): v for k, v in settings.items()})
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(
            f"jax.distributed.initialize failed: {error} Check --coordinator_address, "
            "--process_count and --process_index."
        ) from error


def leave(code: int) -> None:
    """Ends a process that failed, if others run with it: at once, so that they notice."""
    jax = sys.modules.get("jax")
    if not code or jax is None or not jax.distributed.is_initialized():
        return
    if jax.process_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        # The usual way out would wait for the others, which may wait for this one.
        os._exit(code)


def _settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Values of the flags, or of the variables that stand for them."""
    settings = {name: given[name] for name in PROCESS_FLAGS[1:] if given[name] is not None}
    for name, variable in _VARIABLES.items():
        text = environment.get(variable)
        if not text or name in settings:
            continue
        if name == "coordinator_address":
            settings[name] = text
        elif text.isdigit():
            settings[name] = int(text)
        else:
            raise ValueError(
                f"{variable} is {text!r}; it must be a whole number, or give --{name}."
            )
    return settings


def _in_cluster(environment: Mapping[str, str]) -> bool:
    """Whether the cluster started several processes, by variables that JAX reads then."""
    sizes = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
    of_step = ("SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri")
    counted = any(
        step in environment and environment.get(size, "1") not in ("", "1")
        for size, step in zip(sizes, of_step, strict=True)
    )
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES", "")
    return counted or "," in hosts or "MEGASCALE_COORDINATOR_ADDRESS" in environment
