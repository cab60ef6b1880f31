# SPDX-License-Identifier: Apache-2.0
"""Tests of the three programs: command lines of users and what they get for them."""

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
from unittest import mock

import gin
from absl import flags
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.config import aliases, gin_files, gin_flags, program

_ROOT = str(gin_files.REPOSITORY_ROOT)
_CONFIGS = "prompt_tuning/configs"
_PROGRAM = program.Program("train", "train", "Trains.", [("See:", "tools/bazel run //x")])

_RUN_FILE = """
from __gin__ import dynamic_registration
import __main__ as train_script
train_script.train.model_dir = %MODEL_DIR
train_script.train.total_steps = %TRAIN_STEPS
MODEL_DIR = %gin.REQUIRED
TRAIN_STEPS = 3
UNUSED = 4
"""
_WITHOUT_JAX = """
import json, sys
from prompt_tuning.config import program
import {module} as main
code = program.run(main.PROGRAM, sys.argv)
heavy = [m for m in ("jax", "flax", "tensorflow", "seqio") if m in sys.modules]
print(json.dumps([code, heavy]))
"""
# Ctrl-C where a callback drops every exception.
_SWALLOWED = """
import contextlib, os, signal, sys, time
from prompt_tuning.config import gin_flags, program
from prompt_tuning import train
def parse_gin(*_):
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
signal.signal(signal.SIGINT, signal.default_int_handler)  # As on a terminal.
gin_flags.parse_gin = parse_gin
gin_flags.configured = lambda _: lambda: None
sys.exit(program.run(train.PROGRAM, sys.argv))
"""


_calls = []


def train(model_dir, total_steps, baseline="none"):
    """In place of the real run; needs neither JAX nor a model."""
    _calls.append((model_dir, total_steps, baseline))


def report(settings):
    """In place of the real report."""
    return f"report of {sorted(settings)}"


def _start(name: str, *args: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a program as a user does."""
    return subprocess.run(
        [sys.executable, os.path.join(_ROOT, "prompt_tuning", f"{name}.py"), *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": _ROOT, "JAX_PLATFORMS": "cpu", **environment},
    )


class CommandLineTest(parameterized.TestCase):
    """Mistakes, each in a process of its own."""

    @parameterized.parameters(
        ("--modle_dir=x", "flag 'modle_dir'. Did you mean: model_dir"),
        (f"--gin_file={_CONFIGS}/models/t5_1_1_bse_prompt.gin", "t5_1_1_base_prompt.gin"),
        ("--gin.MODEL_DIR=/tmp/x", "--gin.MODEL_DIR=\"'/tmp/x'\""),
        ("--gin.BATCH_SZIE=3", "did you mean BATCH_SIZE"),
        ("--gin.utils.SaveCheckpointConfg.period=3", "did you mean utils.SaveCheckpointConfig"),
        ("--gin.FOO", "write --gin.NAME=VALUE"),
        ("--model=t5_1_1_bas", "did you mean t5_1_1_base"),
        ("--initial_checkpoint=none/checkpoint_3", "none/checkpoint_3 does not exist"),
        ("--model=t5_1_1_base", "pass --initial_checkpoint=PATH or"),
        ("--batch_size=many", "flag --batch_size=many"),
        ("stray", "'stray' is not a flag"),
        ("--run_mode=eval", "tools/bazel run //prompt_tuning:eval"),
        ("--run_mode=precompile", "precompile is not supported"),
    )
    def test_one_line_and_no_jax(self, arg, pattern):
        code = _WITHOUT_JAX.format(module="prompt_tuning.train")
        done = subprocess.run(
            [sys.executable, "-c", code, arg],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": _ROOT},
        )
        self.assertEqual(json.loads(done.stdout), [program.USAGE_ERROR, []])
        self.assertRegex(done.stderr, r"^error: [^\n]*\n$")
        self.assertIn(pattern, done.stderr)

    @parameterized.parameters("train", "eval", "infer")
    def test_help_teaches(self, name):
        done = _start(name, "--help")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(done.stdout.count(f"tools/bazel run //prompt_tuning:{name}"), 3)
        self.assertRegex(done.stdout, r"--prompt_file\n .*\n?.*Macro: PROMPT_FILE\.")
        self.assertIn("--gin_search_paths", done.stdout)
        self.assertEmpty([line for line in done.stdout.split("\n") if len(line) > 100])

    @parameterized.parameters(
        ("eval", "PROMPT_FILE"), ("infer", "INFER_OUTPUT_DIR, PROMPT_FILE are not set")
    )
    def test_the_other_programs_ask_for_a_prompt(self, name, pattern):
        done = _start(name)
        self.assertEqual(done.returncode, program.USAGE_ERROR)
        self.assertRegex(done.stderr, rf"^error: [^\n]*{pattern}[^\n]*--model_dir=DIR[^\n]*\n$")

    def test_upstreams_demonstration(self):
        """The flags of upstream's SST-2 script, with nothing changed but the folders."""
        flags_of_script = (
            f"--gin_search_paths={_ROOT}",
            f"--gin_file={_CONFIGS}/models/t5_1_1_base_prompt.gin",
            f"--gin_file={_CONFIGS}/prompts/from_class_labels.gin",
            f"--gin_file={_CONFIGS}/runs/prompt_finetune.gin",
            "--gin.CLASS_LABELS=['positive', 'negative']",
            "--gin.MODEL_DIR='m'",
            "--gin.MIXTURE_OR_TASK_NAME='taskless_glue_sst2_v200_examples'",
            "--gin.MIXTURE_OR_TASK_MODULE='prompt_tuning.data.tasks'",
            "--gin.TASK_FEATURE_LENGTHS={'inputs': 512, 'targets': 8}",
            "--gin.INITIAL_CHECKPOINT_PATH='gs://c/checkpoint_1100000'",
            "--gin.TRAIN_STEPS=1150000",
            "--gin.USE_CACHED_TASKS=False",
            "--tfds_data_dir=tfds",
        )
        values = flags.FlagValues()
        gin_flags.define_flags(values)
        values(["train", *gin_flags.rewrite_gin_args(flags_of_script)])
        chosen = program.configuration(
            "train", {}, values.gin_file, values.gin_bindings, values.gin_search_paths
        )
        self.assertLen(chosen.files, 3)
        self.assertLen(chosen.bindings, 8)


class RunTest(absltest.TestCase):
    """What `run` does around the call, with a run that is not the real one."""

    def setUp(self):
        super().setUp()
        self.addCleanup(gin.clear_config)
        _calls.clear()
        self.gin_file = self.create_tempfile("run.gin", _RUN_FILE).full_path
        # `import __main__ as train_script` finds this file's function by itself.
        target = {"train": f"{__name__}:train"}
        self.enter_context(mock.patch.dict(aliases.ENTRY_POINTS, target))
        self.enter_context(mock.patch.object(program, "_REPORT", __name__))
        self.enter_context(mock.patch.object(os, "chdir"))

    def run_program(self, *args, of=_PROGRAM):
        """Returns exit code, standard output, standard error, and the calls of the run."""
        out, err = io.StringIO(), io.StringIO()
        quiet = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with flagsaver.flagsaver(), quiet[0], quiet[1]:
            code = program.run(of, ["train", f"--gin_file={self.gin_file}", *args])
        return code, out.getvalue(), err.getvalue(), _calls

    def test_the_function_is_called_with_what_gin_and_flags_bind(self):
        code, _, err, calls = self.run_program("--model_dir=m", "--gin.TRAIN_STEPS=5")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(calls, [("m", 5, "none")])

    def test_gin_bindings_win_over_flags(self):
        _, _, _, calls = self.run_program("--model_dir=m", "--gin.MODEL_DIR='n'")
        self.assertEqual(calls, [("n", 3, "none")])

    def test_dry_run_prints_and_does_not_call(self):
        code, out, _, calls = self.run_program("--model_dir=m", "--dry_run")
        self.assertEqual((code, calls), (0, []))
        self.assertIn("MODEL_DIR = 'm'", out)
        self.assertIn("train_script.train.total_steps = %TRAIN_STEPS", out)
        self.assertNotIn("UNUSED", out)
        self.assertEndsWith(out, "report of ['model_dir', 'total_steps']\n")

    def test_a_report_is_printed_in_place_of_the_call(self):
        shows = dataclasses.replace(
            _PROGRAM,
            report=lambda settings: f"{settings['model_dir']} {settings['total_steps']}",
            assumed={"MODEL_DIR": "'.'", "NO_MACRO_OF_THE_FILES": "1"},
        )
        code, out, err, calls = self.run_program(of=shows)
        self.assertEqual((code, out, err, calls), (0, ". 3\n", "", []))
        gin.clear_config()
        _, out, _, _ = self.run_program("--model_dir=m", of=shows)
        self.assertEqual(out, "m 3\n")

    def test_mistakes_that_the_run_finds(self):
        for error in (ValueError("a\n  b"), FileNotFoundError("a b"), PermissionError("a b")):
            with self.subTest(type(error).__name__):
                gin.clear_config()
                with mock.patch.object(program.gin_flags, "configured") as configured:
                    configured.return_value.side_effect = error
                    code, _, err, _ = self.run_program("--model_dir=m")
                self.assertEqual((code, err), (program.USAGE_ERROR, "error: a b\n"))

    def test_interrupt(self):
        with mock.patch.object(program.gin_flags, "configured") as configured:
            configured.return_value.side_effect = KeyboardInterrupt("saved at step 3")
            code, _, err, _ = self.run_program("--model_dir=m")
        self.assertEqual(code, program.INTERRUPTED)
        self.assertEqual(err, "interrupted: saved at step 3\n")

    def test_an_output_that_nobody_reads_is_no_success_and_no_message(self):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run(
                [sys.executable, os.path.join(_ROOT, "prompt_tuning/train.py"), "--help"],
                stdout=closed,
                stderr=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": _ROOT},
                check=False,
            )
        self.assertEqual((done.returncode, done.stderr), (program.OUTPUT_CLOSED, b""))

    def test_an_interrupt_that_a_library_would_swallow_while_it_is_loaded(self):
        done = subprocess.run(
            [sys.executable, "-c", _SWALLOWED, "--model_dir=m"],
            capture_output=True,
            text=True,
            cwd=self.create_tempdir().full_path,
            env=os.environ | {"PYTHONPATH": _ROOT},
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (program.INTERRUPTED, "interrupted\n"))

    def test_defects_keep_their_traceback(self):
        with mock.patch.object(program.gin_flags, "configured") as configured:
            configured.return_value.side_effect = TypeError("a defect")
            with self.assertRaisesRegex(TypeError, "a defect"):
                self.run_program("--model_dir=m")

    def test_debug_shows_the_traceback_of_a_mistake_too(self):
        code, _, err, _ = self.run_program("--debug")
        self.assertEqual(code, program.USAGE_ERROR)
        self.assertIn("Traceback", err)
        self.assertRegex(err, "error: MODEL_DIR is not set: pass --model_dir=DIR or [^\n]*\n$")

    def test_paths_are_meant_from_where_the_user_stands(self):
        with mock.patch.dict(os.environ, {"BUILD_WORKING_DIRECTORY": "/home/user"}):
            self.run_program("--model_dir=m")
        os.chdir.assert_called_once_with("/home/user")

    def test_the_data_folder_reaches_tfds(self):
        with mock.patch.dict(os.environ):
            self.run_program("--model_dir=m", "--tfds_data_dir=/data")
            self.assertEqual(os.environ["TFDS_DATA_DIR"], "/data")


if __name__ == "__main__":
    absltest.main()
