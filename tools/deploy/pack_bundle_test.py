# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import platform
import subprocess
import sys
import tarfile

from absl.testing import absltest, parameterized

from tools.deploy import pack_bundle

_INSTALL = pathlib.Path(os.path.abspath(__file__)).with_name("install.sh")
_PROGRAM = "import sys, other\nprint(other.NAME, *sys.argv[1:])\n"


class PackBundleTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.create_tempdir().full_path)
        self.entries = []
        for name, text in {"a/run.py": _PROGRAM, "other.py": "NAME = 'o'\n", "a/run": "x"}.items():
            path = self.root / name.replace("/", "_")
            path.write_text(text)
            self.entries.append(f"{name}={path}")

    def pack(self, entries, name="bundle.tar.gz"):
        output = self.root / name
        pack_bundle.main(
            [f"--output={output}", f"--install={_INSTALL}", "--program=a/run", *entries]
        )
        return output

    def unpacked(self):
        folder = self.root / "unpacked"
        with tarfile.open(self.pack(self.entries)) as archive:
            archive.extractall(folder)
        return folder

    def run_script(self, script, *arguments):
        return subprocess.run([script, *arguments], capture_output=True, text=True, check=False)

    def test_what_is_packed(self):
        with tarfile.open(self.pack(self.entries)) as archive:
            modes = {member.name: member.mode for member in archive}
        expected = {"a/run.py": 0o644, "other.py": 0o644, "built_for": 0o644}
        self.assertEqual(modes, expected | {"bazel-bin/a/run": 0o755, "install": 0o755})

    def test_the_same_bytes_whatever_the_order_and_the_times(self):
        first = self.pack(self.entries).read_bytes()
        os.utime(self.root / "other.py", (1, 1))
        (self.root / "arguments").write_text("\n".join(reversed(self.entries)))
        second = self.pack([f"@{self.root / 'arguments'}"], "other.tar.gz")
        self.assertEqual(second.read_bytes(), first)

    def test_a_program_starts_once_it_is_installed(self):
        folder = self.unpacked()
        refused = self.run_script(folder / "bazel-bin/a/run")
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, f"^error: {folder} is not installed; run {folder}/install")
        (folder / "venv/bin").mkdir(parents=True)
        (folder / "venv/bin/python3").symlink_to(sys.executable)
        (folder / "venv/complete").touch()
        done = self.run_script(folder / "bazel-bin/a/run", "two words")
        self.assertEqual((done.stdout, done.stderr), ("o two words\n", ""))

    def test_a_program_without_its_source(self):
        with self.assertRaisesRegex(SystemExit, "error: program a/run has no a/run.py"):
            self.pack(self.entries[1:])
        self.assertFalse((self.root / "bundle.tar.gz").exists())

    @parameterized.parameters(("gpu",), ("tpu", "cpu"))
    def test_install_refuses_other_arguments(self, *arguments):
        done = self.run_script(self.unpacked() / "install", *arguments)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^error: arguments are .*accepted is one of tpu, cuda and")

    def test_install_refuses_another_processor(self):
        folder = self.unpacked()
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        self.assertEqual((folder / "built_for").read_text(), f"{version} {platform.machine()}\n")
        (folder / "built_for").write_text(f"{version} vax\n")
        done = self.run_script(folder / "install", "cpu")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^error: this bundle was built on vax")
        self.assertFalse((folder / "venv").exists())

    @parameterized.parameters(
        ("data_ops/tokenizer", 1, "error: ./data_ops/tokenizer/x_module.so does not load here"),
        ("array_ops", 0, "note: ./array_ops/x_module.so does not load here"),
        (None, 0, ""),
    )
    def test_install_makes_an_environment_and_loads_every_native_op(self, broken, code, said):
        """With a Python whose pip installs nothing; the real one is in train_bundle_install_test."""
        path = self.root / "x_module.so"
        path.write_text("no shared library\n")
        for name in ("requirements.lock", "requirements_cuda.lock"):
            (self.root / name).write_text("setuptools==1 \\\n    --hash=sha256:0\nother==2\n")
            self.entries.append(f"third_party/python/{name}={self.root / name}")
        if broken:
            self.entries.append(f"{broken}/x_module.so={path}")
        folder = self.unpacked()
        done = subprocess.run(
            [folder / "install", "cuda"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PROMPT_TUNING_PYTHON": self.fake_python()},
        )
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertStartsWith(done.stderr, said)
        self.assertEqual((folder / "venv/complete").exists(), not code)
        asked = (self.root / "pip_calls").read_text().splitlines()
        self.assertEqual(
            [line.rpartition(" ")[2] for line in asked],
            ["venv/builders.txt"]
            + [f"third_party/python/requirements{kind}.lock" for kind in ("", "_cuda")],
        )
        for line in asked:
            self.assertIn("--no-deps --require-hashes --no-build-isolation", line)
        builders = (folder / "venv/builders.txt").read_text()
        self.assertEqual(builders, "setuptools==1 \\\n    --hash=sha256:0\n")

    def fake_python(self):
        """A Python of the bundle's version whose venvs have a pip that only takes notes."""
        inner = (
            f'#!/bin/bash\nif [[ "$1 $2" == "-m pip" ]]; then echo "$*" >> {self.root}/pip_calls\n'
            f'else exec {sys.executable} "$@"; fi\n'
        )
        (self.root / "inner").write_text(inner)
        outer = (
            '#!/bin/bash\nif [[ "$1 $2" == "-m venv" ]]; then mkdir -p "$3/bin"\n'
            f'cp {self.root}/inner "$3/bin/python3"\nchmod 755 "$3/bin/python3"\n'
            f'elif [[ "$2" == *ensurepip* ]]; then exit 0\nelse exec {sys.executable} "$@"; fi\n'
        )
        path = self.root / "python"
        path.write_text(outer)
        path.chmod(0o755)
        return str(path)


if __name__ == "__main__":
    absltest.main()
