# SPDX-License-Identifier: Apache-2.0
"""Tests of how the tools end, through one of them as a program of its own."""

import contextlib
import io
import os
import subprocess
import sys
from unittest import mock

from absl import app, flags
from absl.testing import absltest, parameterized

from tools.checkpoints import command_line

_REPOSITORY = os.path.join(os.path.dirname(__file__), "..", "..")


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """find_module as a program."""
    program = os.path.join(os.path.dirname(__file__), "find_module.py")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([_REPOSITORY, *sys.path]))
    command = [sys.executable, program, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


_ENDLESS = """
import sys
from tools.checkpoints import command_line
def main(argv):
    while True:
        print("line")
sys.exit(command_line.status(main, []))
"""


class StatusTest(parameterized.TestCase):
    def status_of(self, main) -> tuple[int, str]:
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            code = command_line.status(main, ["tool"])
        return code, errors.getvalue()

    @parameterized.parameters((None, 0), (0, 0), (1, 1))
    def test_the_result_is_the_status(self, result, code):
        self.assertEqual(self.status_of(lambda argv: result), (code, ""))

    def test_a_reader_that_has_seen_enough(self):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([_REPOSITORY, *sys.path]))
        command = [sys.executable, "-c", _ENDLESS]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            self.assertEqual(process.stdout.readline(), "line\n")
            process.stdout.close()
            self.assertEqual(process.stderr.read(), "")
            self.assertEqual(process.wait(), 141)

    @parameterized.parameters(ValueError, FileNotFoundError, OSError, ImportError)
    def test_a_user_error_is_one_line(self, kind):
        def main(argv):
            raise kind("x is wrong; set --x.")

        self.assertEqual(self.status_of(main), (1, "error: x is wrong; set --x.\n"))

    def test_wrong_usage(self):
        def main(argv):
            raise app.UsageError("two are needed.")

        self.assertEqual(self.status_of(main), (2, "error: two are needed. See --help.\n"))

    def test_a_bug_keeps_its_traceback(self):
        def main(argv):
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            command_line.status(main, ["tool"])


class RequiredTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.values = flags.FlagValues()
        self.flag = flags.DEFINE_string("input", None, "", flag_values=self.values)

    def test_a_value(self):
        self.values(["tool", "--input=a"])
        self.assertEqual(command_line.required(self.flag), "a")

    @parameterized.parameters([[]], [["--input="]])
    def test_none(self, given):
        self.values(["tool", *given])
        with self.assertRaisesRegex(app.UsageError, "^--input is not set.$"):
            command_line.required(self.flag)


class ProgramTest(absltest.TestCase):
    def test_success(self):
        result = run_tool("json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(os.path.isdir(result.stdout.strip()))

    def test_user_error(self):
        result = run_tool("no_such_module")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "^error: .*no_such_module.*\n$")

    def test_unknown_flag(self):
        result = run_tool("--no_such_flag")
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, "^error: .*no_such_flag.* See --help.\n$")

    def test_relative_paths_are_the_users_under_bazel_run(self):
        folder = os.path.realpath(self.create_tempdir().full_path)
        self.addCleanup(os.chdir, os.getcwd())
        with (
            mock.patch.dict(os.environ, BUILD_WORKING_DIRECTORY=folder),
            mock.patch.object(app, "run"),
        ):
            command_line.run(lambda argv: None)
        self.assertEqual(os.getcwd(), folder)

    def test_help_teaches(self):
        self.assertIn("tools/bazel run //tools/checkpoints:find_module", run_tool("--help").stdout)


if __name__ == "__main__":
    absltest.main()
