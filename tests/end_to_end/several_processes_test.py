# SPDX-License-Identifier: Apache-2.0
"""A run of two processes on loopback: asked to stop, killed, gone on with; and undisturbed."""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
from absl.testing import absltest

from tests.end_to_end import programs, toy_run

STEPS, PERIOD = 60, 10
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


class SeveralProcessesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)

    def start(self, name: str, seconds: float = 0.0, **options) -> Processes:
        settings = {"steps": STEPS, "period": PERIOD, "seconds": seconds, **options}
        return Processes(self.folder, 2, 1, model_dir=str(self.folder / name), **settings)

    def assert_all(self, ended, code: int) -> None:
        for found, text in ended:
            self.assertEqual(found, code, text)

    def test_stopped_then_killed_then_gone_on_with(self):
        whole, disturbed = self.folder / "whole", self.folder / "disturbed"
        self.assert_all(self.start("whole").end(), 0)

        # The signal goes to the process that does not write; both stop at the same step.
        run = self.start("disturbed", 0.05)
        run.wait_for(disturbed / f"checkpoint_{PERIOD}" / "checkpoint")
        run.all[1].send_signal(signal.SIGTERM)
        ended = run.end()
        self.assert_all(ended, toy_run.INTERRUPTED)
        said = {text.splitlines()[-1] for _, text in ended}
        step = programs.steps(disturbed)[-1]
        self.assertEqual(said, {f"SIGTERM at step {step}"})
        self.assertLess(step, STEPS - 2 * PERIOD, "The signal came too late for the rest.")

        # One is killed in the middle of a step: the other says so, and ends.
        run = self.start("disturbed", 0.05)
        run.wait_for(disturbed / f"checkpoint_{(step // PERIOD + 1) * PERIOD}" / "checkpoint")
        run.all[1].kill()
        (code, text), _ = run.end()
        self.assertEqual(code, toy_run.LOST, text)
        self.assertIn("process 0 of 2 stops, because another process of the run is gone", text)
        self.assertNotIn("Traceback", text)

        self.assert_all(self.start("disturbed").end(), 0)
        for at in (PERIOD, STEPS):
            self.assertEqual(
                programs.prompt_path(disturbed, at).read_bytes(),
                programs.prompt_path(whole, at).read_bytes(),
                f"the prompt of step {at}",
            )

        # The same mesh in one process adds the same two numbers: the same bits.
        one = Processes(
            self.folder, 1, 2, model_dir=str(self.folder / "one"), steps=STEPS, period=STEPS
        )
        self.assert_all(one.end(), 0)
        self.assertEqual(
            programs.prompt_path(self.folder / "one", STEPS).read_bytes(),
            programs.prompt_path(whole, STEPS).read_bytes(),
        )
        curves = [
            json.loads((self.folder / n / "losses.json").read_text()) for n in ("one", "whole")
        ]
        np.testing.assert_array_equal(*curves)


class FourProcessesTest(absltest.TestCase):
    def test_two_copies_of_two_processes_each_train_what_one_device_trains(self):
        folder = programs.new_folder(type(self))
        one = Processes(folder, 1, 1, model_dir=str(folder / "one"), steps=12, period=12)
        four = Processes(
            folder,
            4,
            1,
            model_dir=str(folder / "four"),
            steps=12,
            period=12,
            num_partitions=2,
            fully_sharded=True,
        )
        for code, text in (*one.end(), *four.end()):
            self.assertEqual(code, 0, text)
        curves = [json.loads((folder / n / "losses.json").read_text()) for n in ("one", "four")]
        np.testing.assert_allclose(*curves, rtol=2e-5)
        prompts = [np.load(programs.prompt_path(folder / n, 12)) for n in ("one", "four")]
        np.testing.assert_allclose(*prompts, rtol=0, atol=2e-5)


if __name__ == "__main__":
    absltest.main()
