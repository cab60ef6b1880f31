# SPDX-License-Identifier: Apache-2.0
"""The deploy bundle's one command, on this machine: `./install cpu`, then a step of training.

Needs the Python package index, and a few minutes.
"""

import os
import subprocess
import tarfile
import unittest

from absl.testing import absltest

from tests.end_to_end import programs

_BUNDLE = programs.ROOT / "prompt_tuning" / "train_bundle.tar.gz"


class BundleInstallationTest(absltest.TestCase):
    def test_one_command_then_training(self):
        if not _BUNDLE.exists():
            raise unittest.SkipTest(f"{_BUNDLE} is there under Bazel alone")
        folder = programs.new_folder(type(self))
        with tarfile.open(_BUNDLE) as archive:
            archive.extractall(folder / "bundle")
        # Nothing of this test's own environment: a new machine has none of it.
        bare = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
        proxies = {k: v for k, v in os.environ.items() if k.lower().startswith(("pip_", "http"))}
        for command in (
            [folder / "bundle/install", "cpu"],
            [folder / "bundle/bazel-bin/prompt_tuning/train", "--train_steps=1", "--model_dir=run"],
        ):
            done = subprocess.run(
                command, cwd=folder, env=bare | proxies, capture_output=True, text=True, check=False
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("note:", done.stderr)
        self.assertIn("frozen, with the prompt", done.stdout)
        self.assertTrue((folder / "run/checkpoint_1801/checkpoint").is_file())


if __name__ == "__main__":
    absltest.main()
