# SPDX-License-Identifier: Apache-2.0
"""Tests that a process of the benchmark trains a small model and answers."""

import json
import os
import subprocess
import sys

import numpy as np
from absl.testing import absltest

from prompt_tuning.checkpoints import toy_t5
from tests.benchmarks import training_cases, training_process


class TrainingProcessTest(absltest.TestCase):
    def _write(self, name: str, **arrays: np.ndarray) -> str:
        path = os.path.join(self.create_tempdir().full_path, name)
        np.savez(path, **arrays)
        return path

    def test_the_first_step_is_told_and_commands_are_answered(self):
        folder = self.create_tempdir().full_path
        tensors = toy_t5.tensors(toy_t5.parameters())
        toy_t5.write_folder(folder, {"model.safetensors": tensors})
        prompt = os.path.join(folder, "prompt.npy")
        np.save(prompt, np.ones((3, toy_t5.SIZES.emb_dim), np.float32))
        batch = self._write(
            "batch.npz", **training_cases.fixed_batch(2, 5, 3, toy_t5.SIZES.vocab_size)
        )
        request = {
            "folder": folder,
            "prompt": prompt,
            "batch": batch,
            "dtype": "float32",
            "device": "cpu",
        }
        path = self.create_tempfile("request.json", json.dumps(request)).full_path
        done = subprocess.run(
            [sys.executable, training_process.__file__, path],
            input="pass\npeak\n",
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        first, later, peak = [
            json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")
        ]
        self.assertGreater(first["cpu"], later["cpu"])
        self.assertNotEqual(first["loss"], later["loss"])
        self.assertGreater(peak["bytes"], 0)


if __name__ == "__main__":
    absltest.main()
