# SPDX-License-Identifier: Apache-2.0
"""T5X's flags that say which processes belong to a run, and what kind of run it is.

`jax.distributed` gets what the flags say; JAX itself is only loaded where one of them is given.
"""

import importlib
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
)
FLAG_NAMES = (*PROCESS_FLAGS, "run_mode")


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags; a second call changes nothing."""
    if "multiprocess_gpu" in flag_values:
        return
    flags.DEFINE_bool(
        "multiprocess_gpu",
        False,
        "Call jax.distributed.initialize before the run.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "coordinator_address",
        None,
        "host:port of process 0, for jax.distributed.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_count",
        None,
        "Number of processes, for jax.distributed.",
        1,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_index",
        None,
        "Number of this process from 0, for jax.distributed.",
        0,
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


def initialize(given: Mapping[str, Any]) -> None:
    """Joins the processes of the run, if any of the flags asks for it.

    Args:
        given: values of PROCESS_FLAGS.

    Raises:
        ValueError: jax.distributed refuses the values, or there is more than one process.
    """
    settings = {name: given[name] for name in PROCESS_FLAGS[1:] if given[name] is not None}
    if not given["multiprocess_gpu"] and not settings:
        return
    names = {"process_count": "num_processes", "process_index": "process_id"}
    jax = importlib.import_module("jax")
    try:
        jax.distributed.initialize(**{names.get(k, k): v for k, v in settings.items()})
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"jax.distributed.initialize failed: {error} Check --coordinator_address, "
            "--process_count and --process_index."
        ) from error
    if jax.process_count() > 1:
        raise ValueError(
            f"the run has {jax.process_count()} processes, and each would train alone in the same "
            "folder; start one process: --process_count=1."
        )
