# SPDX-License-Identifier: Apache-2.0
"""Runs of `toy_run` in several processes on loopback."""

import json
import pathlib
import socket
import subprocess
import sys
import time

from tests.end_to_end import programs

_PATIENCE = 280.0  # Seconds; far above what a loaded machine needs.
_PROGRAM = str(pathlib.Path(__file__).with_name("toy_run.py"))


class Processes:
    """The processes of one run, started together."""

    def __init__(self, folder, count: int, devices: int, **arguments):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        common = {"processes": count, "port": port, "devices": devices, **arguments}
        self.all = [
            subprocess.Popen(
                [sys.executable, _PROGRAM, json.dumps({**common, "index": index})],
                env=programs.environment(folder), stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True,
            )
            for index in range(count)
        ]  # fmt: skip

    def wait_for(self, path: pathlib.Path) -> None:
        """Returns when the path exists; fails if a process ends before."""
        deadline = time.monotonic() + _PATIENCE
        while not path.exists():
            ended = [process for process in self.all if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                self.end()
                raise RuntimeError(f"too early or too late: {[p.stdout.read() for p in ended]}")
            time.sleep(0.01)

    def end(self) -> list[tuple[int, str]]:
        """(exit code, output) of each process; kills what does not end by itself."""
        outputs = []
        for process in self.all:
            try:
                outputs.append(process.communicate(timeout=_PATIENCE)[0])
            except subprocess.TimeoutExpired:
                process.kill()
                outputs.append(process.communicate()[0] + "(did not end)")
        return [(p.returncode, text) for p, text in zip(self.all, outputs, strict=True)]


def trained(
    folder: pathlib.Path, name: str, count: int, devices: int, **options
) -> tuple[bytes, list[float]]:
    """Twelve steps in `count` processes of `devices` each: the saved prompt's file, and the losses.

    Raises:
      RuntimeError: a process did not end well; with what it said.
    """
    model_dir = folder / name
    run = Processes(
        folder, count, devices, model_dir=str(model_dir), steps=12, period=12, **options
    )
    for code, text in run.end():
        if code:
            raise RuntimeError(text)
    losses = json.loads((model_dir / "losses.json").read_text())
    return programs.prompt_path(model_dir, 12).read_bytes(), losses
