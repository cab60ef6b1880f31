# SPDX-License-Identifier: Apache-2.0
"""The deploy bundle in an empty folder, far from the repository.

Its packages are those of this test's Python: nothing is installed. `install` itself needs a network
and is only parsed; tools/deploy/pack_bundle_test covers what it refuses.
"""

import os
import shlex
import subprocess
import sys
import tarfile
import unittest

from absl.testing import absltest, parameterized

from tests.end_to_end import programs

_BUNDLE = programs.ROOT / "prompt_tuning" / "train_bundle.tar.gz"
_PYTHON = """#!/bin/bash
export PYTHONPATH="${{PYTHONPATH}}:{packages}"
exec {python} "$@"
"""


class TrainBundleTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = programs.new_folder(cls) / "bundle"
        if not _BUNDLE.exists():
            raise unittest.SkipTest(f"{_BUNDLE} is there under Bazel alone")
        with tarfile.open(_BUNDLE) as archive:
            archive.extractall(cls.root)
        (cls.root / "venv" / "bin").mkdir(parents=True)
        python = cls.root / "venv" / "bin" / "python3"
        # Only where packages are: this test's import path also has the repository's own modules.
        packages = ":".join(path for path in sys.path if path.endswith("-packages"))
        python.write_text(_PYTHON.format(packages=packages, python=shlex.quote(sys.executable)))
        python.chmod(0o755)
        (cls.root / "venv" / "complete").touch()

    def start(self, program, *flags):
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RUNFILES_DIR")}
        kept.pop("BUILD_WORKING_DIRECTORY", None)
        return subprocess.run(
            [self.root / "bazel-bin" / "prompt_tuning" / program, *flags],
            cwd=self.root.parent,
            env=kept | {"JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_what_is_in_it(self):
        locks = [f"requirements{set}.lock" for set in ("", "_cuda", "_tpu")]
        for name in (
            "LICENSE",
            "built_for",
            "data_ops/tokenizer/tokenizer_module.so",
            "prompt_tuning/bundled/sentencepiece.model",
            "prompt_tuning/configs/models/t5_1_1_base_prompt.gin",
            *(f"third_party/python/{lock}" for lock in locks),
        ):
            self.assertTrue((self.root / name).is_file(), name)

    def test_install_is_a_script(self):
        for script in (self.root / "install", *(self.root / "bazel-bin").rglob("*")):
            if script.is_file():
                self.assertTrue(os.access(script, os.X_OK), script)
                subprocess.run(["bash", "-n", script], check=True)

    @parameterized.parameters("train", "eval", "infer")
    def test_help(self, program):
        done = self.start(program, "--help")
        self.assertIn("--gin_file", done.stdout, done.stderr)

    def test_a_dry_run_reads_the_configuration_the_model_and_the_vocabulary(self):
        done = self.start("train", "--dry_run", "--model_dir=run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("trainable parameters: 2,560", done.stdout)
        self.assertNotIn(str(programs.ROOT), done.stdout + done.stderr)


if __name__ == "__main__":
    absltest.main()
