# SPDX-License-Identifier: Apache-2.0
"""Starts the three programs as a user does: a process of its own, in a folder of its own.

Knows how a program is started and what it leaves; deliberately not what it computes.
"""

import dataclasses
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

ROOT = pathlib.Path(os.path.abspath(__file__)).parents[2]
PROMPT = "encoder.prompt.prompt.prompt"
# Of the bundled checkpoint; a run's steps count from it.
FIRST_STEP = 1800
_PATIENCE = 240.0  # Seconds; far above what a loaded machine needs.


@dataclasses.dataclass(frozen=True)
class Result:
    """How a program ended.

    Attributes:
      code: the exit code; a negative number is the signal that killed it.
      stdout: text.
      stderr: text.
      cpu_seconds: user and system time of the process.
    """

    code: int
    stdout: str
    stderr: str
    cpu_seconds: float

    def records(self) -> list[dict[str, Any]]:
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def new_folder(test_class: type[unittest.TestCase]) -> pathlib.Path:
    """An empty folder that lives as long as the tests of the class."""
    made = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
    return pathlib.Path(test_class.enterClassContext(made))


def environment(folder: str | os.PathLike) -> dict[str, str]:
    """What programs of one test share: the import path, the CPU, and compiled functions.

    `BUILD_WORKING_DIRECTORY` is left out: a Bazel that started this test must not move them.
    """
    kept = {name: value for name, value in os.environ.items() if name != "BUILD_WORKING_DIRECTORY"}
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path[1:])]),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": os.path.join(folder, "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # Rich would cut the table of the end to a terminal that is not there.
        "COLUMNS": "120",
    }


def command(program: str, *flags: str) -> list[str]:
    """The command line of "train", "eval" or "infer"."""
    return [sys.executable, str(ROOT / "prompt_tuning" / f"{program}.py"), *flags]


def run(program: str, *flags: str, folder: str | os.PathLike, stdin: str = "") -> Result:
    """Runs a program to its end, in `folder`."""
    return _finished(command(program, *flags), folder, stdin)


def run_code(code: str, *arguments: str, folder: str | os.PathLike) -> Result:
    """Runs Python text in a fresh interpreter with the programs' environment."""
    return _finished([sys.executable, "-c", code, *arguments], folder, "")


def _finished(arguments, folder, stdin: str) -> Result:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=environment(folder),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Result(done.returncode, done.stdout, done.stderr, spent)


def run_until(
    program: str,
    *flags: str,
    folder: str | os.PathLike,
    reached: Callable[[], bool],
    number: signal.Signals,
) -> Result:
    """Starts a program and sends it a signal as soon as `reached()`.

    Raises:
      RuntimeError: the program ended before that.
    """
    process = subprocess.Popen(
        command(program, *flags),
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + _PATIENCE
        while not reached():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{program} was too early or too late: {process.stderr.read()}")
            time.sleep(0.005)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=_PATIENCE)
    finally:
        process.kill()
        process.wait()
    return Result(process.returncode, stdout, stderr, 0.0)


def summary(model_dir: str | os.PathLike) -> Mapping[str, Any]:
    """The figures of `summary.json`."""
    return json.loads((pathlib.Path(model_dir) / "summary.json").read_text())


def prompt_path(model_dir: str | os.PathLike, step: int) -> pathlib.Path:
    """Upstream's name of the numpy prompt of a step."""
    return pathlib.Path(model_dir) / "numpy_checkpoints" / f"checkpoint_{step}" / PROMPT


def prompt(model_dir: str | os.PathLike, step: int) -> np.ndarray:
    """The numpy prompt of a step, [P, H]."""
    return np.load(prompt_path(model_dir, step))


def steps(model_dir: str | os.PathLike) -> list[int]:
    """The steps of the complete checkpoint folders."""
    found = pathlib.Path(model_dir).glob("checkpoint_*/checkpoint")
    names = (path.parent.name.removeprefix("checkpoint_") for path in found)
    return sorted(int(name) for name in names if name.isdigit())
