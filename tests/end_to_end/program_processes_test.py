# SPDX-License-Identifier: Apache-2.0
"""`train` and `eval` as whole programs, data sets and evaluation included, in several processes."""

import json
import os
import pathlib
import socket
import subprocess
from unittest import mock

import numpy as np
from absl.testing import absltest

from tests.end_to_end import programs

_STEPS = 10
_PATIENCE = 400.0  # Seconds; far above what a loaded machine needs.


class ProgramProcessesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        # Else one device has oneDNN's products and several have XLA's, whose rounding differs.
        cls.enterClassContext(mock.patch.dict(os.environ, PROMPT_TUNING_ONEDNN="0"))

    def in_processes(self, count: int, program: str, *flags: str) -> list[str]:
        """Runs a program in `count` processes on loopback; what each of them said."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        cluster = (f"--coordinator_address=127.0.0.1:{port}", f"--process_count={count}")
        running = [
            subprocess.Popen(
                programs.command(program, *flags, *cluster, f"--process_index={index}"),
                cwd=self.folder,
                env=programs.environment(self.folder),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for index in range(count)
        ]
        said = [process.communicate(timeout=_PATIENCE)[0] for process in running]
        for process, text in zip(running, said, strict=True):
            self.assertEqual(process.returncode, 0, text)
        return said

    def test_two_processes_train_and_evaluate_as_one_does(self):
        flags = ("--seed=0", f"--train_steps={_STEPS}")
        one, two = self.folder / "one", self.folder / "two"
        result = programs.run("train", f"--model_dir={one}", *flags, folder=self.folder)
        self.assertEqual(result.code, 0, result.stderr)
        leader, other = self.in_processes(2, "train", f"--model_dir={two}", *flags)
        self.assertIn("frozen, with the prompt", leader)
        self.assertNotIn("frozen, with the prompt", other)

        last = programs.FIRST_STEP + _STEPS
        prompts = [programs.prompt(folder, last) for folder in (one, two)]
        # Sums over two devices are taken in another order; values reach 6.
        np.testing.assert_allclose(*prompts, rtol=0, atol=2e-4)
        figures = [programs.summary(folder) for folder in (one, two)]
        for name in ("accuracy_with_prompt", "accuracy_without_prompt"):
            self.assertAlmostEqual(figures[0][name], figures[1][name], delta=0.002)

        self.in_processes(2, "eval", f"--model_dir={two}")
        self.assertAlmostEqual(
            self._evaluated(two), figures[1]["accuracy_with_prompt"], delta=0.002
        )

    def test_one_copy_of_the_model_over_two_processes(self):
        flags = ("--seed=0", f"--train_steps={_STEPS}", f"--artifact_file={self.folder / 'p.tar'}")
        split = "--gin.partitioning.PjitPartitioner.num_partitions=2"
        leader, _ = self.in_processes(
            2, "train", f"--model_dir={self.folder / 'split'}", *flags, split
        )
        self.assertIn("artifact: ", leader)

    def _evaluated(self, model_dir: pathlib.Path) -> float:
        (path,) = (model_dir / "eval").rglob("*-metrics.jsonl")
        return json.loads(path.read_text().splitlines()[-1])["rank_accuracy"] / 100


if __name__ == "__main__":
    absltest.main()
