# SPDX-License-Identifier: Apache-2.0
"""The deploy bundle in an empty folder, far from the repository.

Its packages are those of this test's Python: nothing is installed. `install` itself needs a network:
tools/deploy/pack_bundle_test covers what it does and refuses, bundle_installation_test the whole of it.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import tarfile
import unittest

from absl.testing import absltest, parameterized

from tests.end_to_end import programs
from tools.deploy import pack_bundle

_PROGRAMS = tuple(f"prompt_tuning/{name}" for name in ("train", "eval", "infer"))
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
            "data_ops/features/features_module.so",
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

    def test_a_step_of_training_with_every_native_op(self):
        done = self.start("train", "--train_steps=1", "--model_dir=run", "--seed=0")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("frozen, with the prompt", done.stdout)
        self.assertNotIn(str(programs.ROOT), done.stdout + done.stderr)
        self.assertTrue((self.root.parent / "run" / "checkpoint_1801" / "checkpoint").is_file())

    def test_its_modules_are_the_bundles_own_and_find_their_libraries(self):
        modules = sorted(path for path in self.root.rglob("*_module.so"))
        names = [str(path.relative_to(self.root).with_suffix("")) for path in modules]
        self.assertContainsSubset(
            ["data_ops/features/features_module", "data_ops/tokenizer/tokenizer_module"], names
        )
        code = (
            "import importlib, sys\n"
            "for name in sys.argv[1:]: print(importlib.import_module(name).__file__)\n"
            "print([line.split()[-1] for line in open('/proc/self/maps') if 'libdnnl' in line][:1])\n"
        )
        done = subprocess.run(
            [self.root / "venv/bin/python3", "-c", code, *(n.replace("/", ".") for n in names)],
            cwd=self.root.parent,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=True,
        )
        *found, libraries = done.stdout.splitlines()
        self.assertEqual(found, [str(path) for path in modules])
        if "array_ops/product_module" in names:  # Made for Linux on x86-64 alone.
            self.assertIn(str(self.root), libraries)

    def test_the_bytes_are_those_of_the_contents_alone(self):
        """Packed again from other paths, with other times, in another order: the same archive."""
        made = {"built_for", "install", *(f"bazel-bin/{name}" for name in _PROGRAMS)}
        with tarfile.open(_BUNDLE) as archive:
            names = [member.name for member in archive if member.name not in made]
            self.assertEqual({member.mtime for member in archive}, {0})
        files = {name: str(self.root / name) for name in reversed(names)}
        again = pack_bundle.pack(files, list(_PROGRAMS), str(self.root / "install"))
        self.assertEqual(
            hashlib.sha256(again).hexdigest(), hashlib.sha256(_BUNDLE.read_bytes()).hexdigest()
        )


if __name__ == "__main__":
    absltest.main()
