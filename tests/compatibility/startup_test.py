# SPDX-License-Identifier: Apache-2.0
"""Mistakes in flags, gin and paths are told within three seconds, before JAX or TensorFlow is loaded.

The command lines are upstream's, each with one mistake. Seconds are the processor's, so that a busy
machine does not decide; upstream needs about forty of them to say any of this.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.config import value_checks
from prompt_tuning.models import t5_config
from prompt_tuning.runs import input_rows
from prompt_tuning.training import schedules

_ROOT = pathlib.Path(os.path.abspath(__file__)).parents[2]
_CONFIGS = "prompt_tuning/configs"
_CPU_SECONDS = 3.0
_LIBRARIES = ("jax", "jaxlib", "flax", "tensorflow", "seqio")
_HEAVY = ("jax", "jaxlib", "flax", "tensorflow", "seqio", "tensorstore")

_CODE = """
import json, sys
import prompt_tuning.{program} as main
from prompt_tuning.config import program
code = program.run(main.PROGRAM, sys.argv)
print(json.dumps([code, sorted({heavy} & set(sys.modules))]))
"""

_FILES = {
    "train": ("models/t5_1_1_base_prompt", "prompts/from_class_labels", "runs/prompt_finetune"),
    "eval": ("models/t5_1_1_base_prompt", "runs/prompt_eval"),
    "infer": ("models/t5_1_1_base_prompt", "runs/prompt_infer"),
}
_TASK = (
    "--gin.MIXTURE_OR_TASK_NAME='taskless_glue_sst2_v200_examples'",
    "--gin.TASK_FEATURE_LENGTHS={'inputs': 512, 'targets': 8}",
)
_CHECKPOINT = "gs://t5-data/pretrained_models/t5x/t5_1_1_lm100k_base/checkpoint_1100000"
_VALUES = {
    "train": (
        "--gin.CLASS_LABELS=['positive', 'negative']",
        "--gin.MODEL_DIR='m'",
        f"--gin.INITIAL_CHECKPOINT_PATH='{_CHECKPOINT}'",
        "--gin.TRAIN_STEPS=1_150_000",
    ),
    "eval": (
        "--gin.EVAL_OUTPUT_DIR='m'",
        f"--gin.CHECKPOINT_PATH='{_CHECKPOINT}'",
        "--gin.PROMPT_FILE='gs://b/sst2.npy'",
    ),
    "infer": (
        "--gin.INFER_OUTPUT_DIR='m'",
        f"--gin.CHECKPOINT_PATH='{_CHECKPOINT}'",
        "--gin.PROMPT_FILE='gs://b/sst2.npy'",
    ),
}


def _upstreams(program: str) -> list[str]:
    """A complete command line."""
    files = [f"--gin_file={_CONFIGS}/{name}.gin" for name in _FILES[program]]
    return [*files, *_TASK, *_VALUES[program]]


def _run(program: str, arguments: list[str], folder: str | None = None) -> tuple[list, str, float]:
    """Returns [exit code, heavy modules], standard error, and seconds of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", _CODE.format(program=program, heavy=set(_HEAVY)), *arguments],
        cwd=folder or os.environ.get("TEST_TMPDIR") or _ROOT,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, sys.path[1:])]),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout.splitlines()[-1]), done.stderr, spent


class FriendlyFlagsTest(parameterized.TestCase):
    """The same for the plain flags: values, folders, tasks, and the user's own files."""

    @parameterized.named_parameters(
        ("row", "train", ("--train_file=bad.tsv",), "bad.tsv:3: the label 'maybe'"),
        ("late_row", "train", ("--validation_file=bad.tsv",), "bad.tsv:3: the label 'maybe'"),
        ("test_row", "train", ("--test_file=bad.tsv",), "bad.tsv:3: the label 'maybe'"),
        ("column", "train", ("--label_column=lable",), "did you mean|Did you mean 'label'"),
        ("empty", "train", ("--train_file=empty.tsv",), "empty.tsv is empty"),
        (
            "module",
            "train",
            ("--gin.MIXTURE_OR_TASK_MODULE='prompt_tuning.data.glu'",),
            "no module",
        ),
        ("model_dir", "train", ("--model_dir=good.tsv",), "good.tsv is a file"),
        ("steps", "train", ("--train_steps=0",), "--train_steps"),
        ("batch", "train", ("--batch_size=0",), "--batch_size"),
        ("prompt_length", "train", ("--prompt_length=0",), "--prompt_length"),
        ("vocabulary", "train", ("--vocabulary=good.tsv",), "not a SentencePiece model"),
        ("checkpoint", "train", ("--initial_checkpoint=.",), "holds no checkpoint"),
        ("eval_row", "eval", ("--test_file=bad.tsv",), "bad.tsv:3: the label 'maybe'"),
        ("prompt", "eval", ("--test_file=good.tsv", "--prompt_file=good.tsv"), "not an npy file"),
        ("infer", "infer", ("--prompt_file=empty.tsv",), "not an npy file"),
        ("format", "infer", ("--prompt_file=none", "--input_format=tsw"), "did you mean tsv"),
    )
    def test_mistake(self, program, flags, pattern):
        folder = self.create_tempdir().full_path
        rows = "text\tlabel\na\tyes\n"
        for name, text in (("good", rows), ("bad", rows + "b\tmaybe\n"), ("empty", "")):
            (pathlib.Path(folder) / f"{name}.tsv").write_text(text)
        common = {
            "train": ("--train_file=good.tsv", "--label_words=no,yes", "--model_dir=m"),
            "eval": ("--label_words=no,yes", "--prompt_file=none", "--output_dir=m"),
            "infer": ("--input_file=good.tsv",),
        }
        np.save(os.path.join(folder, "none.npy"), np.zeros((20, 128), np.float32))
        result, stderr, seconds = _run(program, [*common[program], *flags], folder)
        code, loaded = result
        self.assertEqual(code, 2, stderr)
        self.assertNoCommonElements(loaded, _LIBRARIES)
        self.assertRegex(stderr, r"\Aerror: [^\n]+\n\Z")
        self.assertRegex(stderr, pattern)
        self.assertLess(seconds, _CPU_SECONDS)
        self.assertNotIn("m", os.listdir(folder))

    def test_a_misspelled_task(self):
        """By itself: beside --train_file a task is a mistake however it is spelled."""
        folder = self.create_tempdir().full_path
        result, stderr, seconds = _run("train", ["--task=bundled_revews", "--model_dir=m"], folder)
        code, loaded = result
        self.assertEqual(code, 2, stderr)
        self.assertNoCommonElements(loaded, _LIBRARIES)
        self.assertRegex(stderr, r"\Aerror: [^\n]+\n\Z")
        self.assertIn("Did you mean 'bundled_reviews'", stderr)
        self.assertLess(seconds, _CPU_SECONDS)
        self.assertNotIn("m", os.listdir(folder))

    def test_the_early_checks_know_what_the_code_accepts(self):
        self.assertEqual(value_checks._DTYPES, t5_config._DTYPES)
        self.assertEqual(value_checks._FACTORS, schedules._FACTORS)
        self.assertEqual(value_checks.INPUT_FORMATS, input_rows.FORMATS)


class StartupTest(parameterized.TestCase):
    def assert_told(self, program: str, arguments: list[str], pattern: str) -> None:
        result, stderr, seconds = _run(program, arguments)
        self.assertEqual(result, [2, []], stderr)
        self.assertRegex(stderr, r"\Aerror: [^\n]+\n\Z")
        self.assertRegex(stderr, pattern)
        self.assertLess(seconds, _CPU_SECONDS)

    @parameterized.parameters(
        ("train", "--gin_flie=x.gin", "gin_flie"),
        ("train", "--process_count=0", "process_count"),
        ("train", "--gin_file=prompt_tuning/configs/runs/no.gin", "'prompt_tuning/.*/no.gin' was"),
        ("train", f"--gin_file={_CONFIGS}/models/t5_1_1_base_prompt.gin", "wrong order"),
        ("train", "--gin.TRAIN_STEP=3", "did you mean TRAIN_STEPS"),
        ("train", "--gin.utils.SaveCheckpointConfig.perod=3", "perod"),
        ("train", "--gin.MODEL_DIR=/m", "quotes"),
        ("train", "--gin.CLASS_LABELS='positive'", "CLASS_LABELS.*a list of texts"),
        ("train", "--gin.INITIAL_CHECKPOINT_PATH='no/checkpoint_1'", "no/checkpoint_1 does not ex"),
        ("eval", "--gin.PROMPT_FILE='no.npy'", "no.npy does not exist"),
        ("eval", "--gin.CHECKPOINT_PATH='no'", "no does not exist"),
        ("infer", "--gin.INPUT_FILE='no.txt'", "no input file no.txt"),
    )
    def test_a_mistake_behind_upstreams_flags(self, program, mistake, pattern):
        self.assert_told(program, [*_upstreams(program), mistake], pattern)

    @parameterized.parameters("prompts/from_class_labels", "models/sizes/xl")
    def test_a_file_that_stands_before_its_model(self, file):
        rest = [flag for flag in _upstreams("train") if file not in flag]
        arguments = [f"--gin_file={_CONFIGS}/{file}.gin", *rest]
        self.assert_told("train", arguments, f"wrong order: .*{file}.* models, prompts, sizes")

    @parameterized.parameters(
        ("train", "MODEL_DIR"),
        ("train", "TASK_FEATURE_LENGTHS"),
        ("train", "INITIAL_CHECKPOINT_PATH"),
        ("train", "CLASS_LABELS"),
        ("eval", "EVAL_OUTPUT_DIR"),
        ("infer", "PROMPT_FILE"),
    )
    def test_a_required_macro_is_named_with_what_to_write(self, program, macro):
        rest = [flag for flag in _upstreams(program) if f"--gin.{macro}=" not in flag]
        self.assertLess(len(rest), len(_upstreams(program)))
        self.assert_told(program, rest, rf"{macro} is not set: pass .*--gin\.{macro}=")


if __name__ == "__main__":
    absltest.main()
