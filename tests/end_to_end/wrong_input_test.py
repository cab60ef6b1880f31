# SPDX-License-Identifier: Apache-2.0
"""Wrong flags, gin and files: one line that says what to do, exit code 2, and nothing half written.

What the text of flags and gin files can tell is checked in a process for each mistake, with the
seconds it takes. What needs the libraries runs in this process, which loads them once; a few of
those have their own process too.
"""

import contextlib
import importlib
import importlib.util
import io
import json
import os
import pathlib
import re
import unittest
import warnings
from unittest import mock

import gin
import numpy as np
from absl import flags
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning import eval as eval_program
from prompt_tuning import infer as infer_program
from prompt_tuning import train as train_program
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import prompt_artifact
from prompt_tuning.config import program
from tests.end_to_end import programs, review_files

_PROGRAMS = {
    "train": train_program.PROGRAM,
    "eval": eval_program.PROGRAM,
    "infer": infer_program.PROGRAM,
}
_LABELS = review_files.LABELS
_TRAIN_FILE = "--train_file=train.tsv"
# Programs answer this kind of mistake before they load JAX: a fraction of a second, mostly
# Python's own start. The bound is what no loaded machine exceeds and every import of JAX does.
_CPU_SECONDS = 1.0


def _write_files(folder: pathlib.Path) -> None:
    """The wrong files of the tables below, and one right one."""
    for split in review_files.SIZES:
        review_files.write(folder, split, "tsv")
    texts = {
        "other_columns.tsv": "sentence\tlabel\na good film\tpositive\n",
        "two_texts.tsv": "one\ttwo\tlabel\na\tb\tpositive\n",
        "bad_label.tsv": "text\tlabel\na good film\tpositive\na bad film\tpositve\n",
        "ragged.tsv": "text\tlabel\na good film\tpositive\na bad film\n",
        "empty.tsv": "",
        "twice.tsv": "text\tlabel\ttext\na good film\tpositive\tb\n",
        "long.tsv": f"text\tlabel\n{'x' * 10_000_000}\tpositive\n",
        "header.tsv": "text\tlabel\n",
        "half_a_line.jsonl": '{"text": "a", "label": "positive"}\n{"text": "a", \n',
        "no_text.jsonl": '{"text": "a", "label": "positive"}\n{"txt": "b", "label": "positive"}\n',
        "lines.txt": "a good film.\n",
        "wrong.gin": "PROMPT_LENGTH = 3\nwhat is this\n",
        "open.gin": "PROMPT_LENGTH = [3\n",
        "unknown_import.gin": (
            "from __gin__ import dynamic_registration\nfrom t5x import optimisers\n"
        ),
        "garbage.npy": "no array\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("binary.tsv", "binary.txt"):
        (folder / name).write_bytes(b"text\tlabel\n\x00\xff\xfe\x81\tpositive\n")
    (folder / "mixed.tsv").write_bytes(
        "text\tlabel\ncafé\tpositive\n".encode() + b"caf\xe9\tpositive\n"
    )
    width = bundled.SIZES["emb_dim"]
    np.save(folder / "narrow.npy", np.zeros((20, width // 2), np.float32))
    np.save(folder / "vector.npy", np.zeros((width,), np.float32))
    np.save(folder / "good.npy", np.zeros((20, width), np.float32))
    np.save(folder / "nan.npy", np.where(np.arange(20 * width) == 7, np.nan, 0).reshape(20, width))
    (folder / "empty_run").mkdir()
    metadata = prompt_artifact.Metadata("p", "1-another", "words", length=20, width=width)
    prompt_artifact.write(
        str(folder / "other.tar"), np.zeros((20, width), np.float32), metadata, ""
    )


class _WrongInputTest(parameterized.TestCase):
    """Base class: a folder with the files, and what every mistake must end in."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        _write_files(cls.folder)

    def assert_refused(self, code: int, stdout: str, stderr: str, pattern: str) -> None:
        self.assertEqual(code, 2, stderr)
        self.assertEqual(stdout, "")
        self.assertRegex(stderr, r"\Aerror: [^\n]+\n\Z", "This is not one line.")
        self.assertRegex(stderr, pattern)
        self.assert_nothing_written()

    def assert_nothing_written(self) -> None:
        kept = r"checkpoint.*|encoder\..*|summary\.json|.*\.COMPLETED|.*out\.jsonl.*|.*\.jsonl-.*"
        found = [
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if re.fullmatch(kept, path.name)
        ]
        self.assertEmpty(found)


class MistakesInTheTextTest(_WrongInputTest):
    """Found before JAX is loaded; no file of the user is read but gin files."""

    @parameterized.named_parameters(
        ("flag", "train", ("--trian_steps=3",), "'trian_steps'. Did you mean: train_steps"),
        ("eval_flag", "eval", ("--train_steps=3",), "Unknown command line flag 'train_steps'"),
        ("infer_flag", "infer", ("--inputfile=x",), "Did you mean: input_file"),
        ("argument", "train", ("stray",), "'stray' is not a flag; flags are --name=value"),
        ("number", "train", ("--learning_rate=abc",), "flag --learning_rate=abc"),
        ("integer", "train", ("--train_steps=1.5",), "flag --train_steps=1.5"),
        ("model", "train", ("--model=bundeld",), "did you mean bundled.*accepted: bundled, t5_1_1"),
        ("start", "train", ("--prompt_init=labels",), "did you mean class_labels"),
        ("no_checkpoint", "train", ("--model=t5_1_1_base",), "pass --initial_checkpoint=PATH or"),
        ("no_string", "train", ("--prompt_init=string",), "pass --prompt_string="),
        ("no_prompt", "eval", (), "PROMPT_FILE.*--model_dir=DIR"),
        ("no_prompt_to_infer", "infer", ("--input_file=lines.txt",), "PROMPT_FILE.*--model_dir"),
        ("macro", "train", ("--gin.PROMPT_LENGHT=3",), "did you mean PROMPT_LENGTH"),
        ("no_value", "train", ("--gin.PROMPT_LENGTH",), "write --gin.NAME=VALUE"),
        (
            "word",
            "train",
            ("--gin.TRAIN_STEPS=foo",),
            r"= foo' \(Failed to parse token 'foo'\); text",
        ),
        ("quotes", "train", ("--gin.MODEL_DIR=/x",), re.escape("--gin.MODEL_DIR=\"'/x'\"")),
        (
            "bracket",
            "train",
            ("--gin.PROMPT_LENGTH=[3",),
            "cannot read the binding.*bracket or brace in it is not closed",
        ),
        ("configurable", "train", ("--gin.prompts.Promt.length=3",), "did you mean prompts.Prompt"),
        ("gin_file", "train", ("--gin_file=none.gin",), "'none.gin' was not found.*--gin_file"),
        ("gin_syntax", "train", ("--gin_file=wrong.gin",), "syntax error at wrong.gin:2"),
        ("gin_open", "train", ("--gin_file=open.gin",), "syntax error at open.gin:[12]"),
        ("gin_import", "train", ("--gin_file=unknown_import.gin",), "did you mean t5x.optimizers"),
    )
    def test_is_refused_at_once(self, name, arguments, pattern):
        if name == "train" and not any("--gin_file" in argument for argument in arguments):
            arguments = (*arguments, "--model_dir=run")
        result = programs.run(name, *arguments, folder=self.folder)
        self.assert_refused(result.code, result.stdout, result.stderr, pattern)
        self.assertFalse((self.folder / "run").exists())
        self.assertLess(result.cpu_seconds, _CPU_SECONDS)


def _trained_with(*arguments: str) -> tuple[str, tuple[str, ...]]:
    return "train", (_TRAIN_FILE, _LABELS, *arguments)


_FILES = (
    ("missing", "none.tsv", r"no file none.tsv; change --t\w+_file"),
    ("columns", "other_columns.tsv", r"tsv:1:.*'text'; the columns are 'sentence', 'label'; set"),
    ("label", "bad_label.tsv", r"tsv:3: the label 'positve'.*\['negative', 'positive'\]"),
    ("ragged", "ragged.tsv", r"ragged.tsv:3: the row has 1 columns"),
    ("empty", "empty.tsv", "empty.tsv is empty; it needs at least one row"),
    ("header_twice", "twice.tsv", r"twice.tsv:1: the header has \['text'\] more than once; rename"),
    ("long", "long.tsv", "long.tsv:2: the row is longer than 1048576 bytes.*--skip_bad_rows"),
    ("mixed", "mixed.tsv", "mixed.tsv:3: byte 29 of the file is not UTF-8; save it as UTF-8"),
    ("header_only", "header.tsv", "header.tsv gives no example: it has no rows"),
    ("binary", "binary.tsv", "binary.tsv:2: .*UTF-8"),
    ("json", "half_a_line.jsonl", "half_a_line.jsonl:2: this is not JSON"),
    ("json_member", "no_text.jsonl", "no_text.jsonl:2: .*'text'; it has 'txt', 'label'.*Did you"),
)


class MistakesBehindTheTextTest(_WrongInputTest):
    """Found with the libraries loaded, but before anything is trained or written."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The user's cache of compiled functions is not for tests.
        cls.enterClassContext(mock.patch.dict(os.environ, JAX_ENABLE_COMPILATION_CACHE="false"))
        with warnings.catch_warnings():
            # A test shows every warning of the imports, among them some that users never see.
            warnings.simplefilter("ignore")
            importlib.import_module("prompt_tuning.runs.train_run")
            importlib.import_module("prompt_tuning.data.tasks")

    def refused(self, name: str, arguments: tuple[str, ...], pattern: str) -> None:
        """Runs a program inside this process and checks how it ends."""
        written, said = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), flagsaver.flagsaver():
            # Flags that another program of this process has defined and set are as if not given.
            flags.FLAGS.unparse_flags()
            with contextlib.redirect_stdout(written), contextlib.redirect_stderr(said):
                code = program.run(_PROGRAMS[name], [name, *arguments])
        gin.clear_config()
        self.assert_refused(code, written.getvalue(), said.getvalue(), pattern)

    @parameterized.named_parameters(*_FILES)
    def test_training_file(self, file, pattern):
        arguments = (f"--train_file={file}", _LABELS, "--text_column=text", "--model_dir=run")
        self.refused("train", arguments, pattern)
        self.assertFalse((self.folder / "run").exists())

    @parameterized.named_parameters(*_FILES)
    def test_file_to_evaluate(self, file, pattern):
        arguments = (f"--test_file={file}", _LABELS, "--text_column=text", "--output_dir=results")
        self.refused("eval", (*arguments, "--prompt_file=good.npy"), pattern)

    @parameterized.named_parameters(
        ("missing", "none.txt", "no input file none.txt: --input_file"),
        ("folder", "empty_run", "no input file empty_run: --input_file"),
        ("columns", "other_columns.tsv", "tsv:1: .*'text'; the columns are 'sentence', 'label'"),
        ("empty", "empty.tsv", "empty.tsv is empty"),
    )
    def test_file_to_answer(self, file, pattern):
        arguments = (f"--input_file={file}", "--output_file=out.jsonl", "--prompt_file=good.npy")
        self.refused("infer", (*arguments, "--text_column=text"), pattern)

    @parameterized.named_parameters(
        ("text_column", ("--train_file=two_texts.tsv", _LABELS), "which column.*--text_column"),
        ("label_column", (_TRAIN_FILE, _LABELS, "--label_column=lable"), "Did you mean 'label'"),
        ("template", (_TRAIN_FILE, _LABELS, "--input_template={txt}"), "'txt'.*'text'"),
        ("one_label", (_TRAIN_FILE, "--label_words=negative"), "'positive'.*set --label_words"),
        ("task", ("--task=bundled_revews",), "--task.*Did you mean 'bundled_reviews'"),
        ("vocabulary", (_TRAIN_FILE, _LABELS, "--vocabulary=none.model"), "'none.model'; set"),
    )
    def test_task(self, arguments, pattern):
        self.refused("train", (*arguments, "--model_dir=run"), pattern)

    @parameterized.named_parameters(
        ("steps", "--train_steps=-1", "-1.*--train_steps"),
        ("batch", "--batch_size=0", "0; it must be at least 1.*--batch_size"),
        (
            "microbatches",
            "--gin.trainer.Trainer.num_microbatches=5",
            "32 examples does not divide into 5 microbatches; change --batch_size",
        ),
        (
            "dropout",
            "--dropout_rate=2",
            r"DROPOUT_RATE. is 2\.0; it must be at least 0 and below 1",
        ),
        ("inputs", "--inputs_length=0", "'inputs': 0.*--inputs_length"),
        ("period", "--eval_period=0", "0; it must be at least 1: --eval_period"),
        ("checkpoints", "--checkpoint_period=0", "0; it must be.*SaveCheckpointConfig.period"),
        ("keep", "--keep=0", "0; it must be.*SaveCheckpointConfig.keep"),
        ("baseline", "--baseline=model_tunning", "did you mean 'model_tuning'.*--baseline"),
        (
            "argument",
            "--gin.prompts.Prompt.lenght=3",
            "'prompts.Prompt' .*parameter named 'lenght'",
        ),
    )
    def test_setting(self, flag, pattern):
        self.refused(*_trained_with(flag, "--model_dir=run"), pattern)
        self.assertFalse((self.folder / "run").exists())

    @parameterized.named_parameters(
        ("missing", "none.npy", "none.npy does not exist. A prompt is an npy file"),
        ("garbage", "garbage.npy", "garbage.npy is not an npy file.*A prompt is"),
        ("vector", "vector.npy", r"shape \(128,\).*A prompt is"),
        ("narrow", "narrow.npy", r"\(20, 64\), the model needs \(20, 128\): its vectors have 64"),
        ("nan", "nan.npy", "nan.npy has 1 numbers of 2,560 that are NaN"),
        ("folder", "empty_run", "empty_run holds no prompt"),
    )
    def test_prompt_file(self, file, pattern):
        flag = f"--prompt_file={file}"
        self.refused(*_trained_with(flag, "--model_dir=run"), pattern)
        self.refused(
            "eval", (flag, "--test_file=test.tsv", _LABELS, "--output_dir=results"), pattern
        )
        self.refused("infer", (flag, "--input_file=lines.txt", "--output_file=out.jsonl"), pattern)

    @parameterized.parameters((), ("--prompt_length=5",), ("--dry_run",))
    def test_an_artifact_of_another_model_names_both_fingerprints(self, *more):
        flags = ("--prompt_file=other.tar", *more)
        pattern = r"1-another, and this is 1-\w{32}; its vocabulary is words, here it is \w{64}; ch"
        self.refused(*_trained_with(*flags, "--model_dir=run"), pattern)
        self.refused(
            "eval", (*flags, "--test_file=test.tsv", _LABELS, "--output_dir=results"), pattern
        )
        self.refused(
            "infer", (*flags, "--input_file=lines.txt", "--output_file=out.jsonl"), pattern
        )

    def test_an_artifact_among_several_prompts(self):
        pattern = "1-another, and this is 1-"
        arguments = ("--prompts=good.npy,other.tar", "--output_dir=results")
        self.refused("eval", (*arguments, "--test_file=test.tsv", _LABELS), pattern)
        self.refused("infer", ("--prompt=a=other.tar", "--input_file=lines.txt"), pattern)

    @parameterized.product(
        given=(
            ("--gin.partitioning.PjitPartitioner.num_partitions=3", "split over 3 devices each"),
            ("--gin.utils.RestoreCheckpointConfig.assignment_map=[('target/x', None)]", "no name"),
            ("--gin.NUM_ENCODER_LAYERS=1", "layers_1.* Choose the model of this"),
            ("--early_stopping=2", "metric is None; set --early_stopping"),
            ("--best_metric=auc", "best auc is found on examples.*set --validation_file"),
            ("--model_dir=/proc/run", "^error: /proc may not be written to"),
        ),
        more=((), ("--dry_run",)),
    )
    def test_a_dry_run_refuses_what_the_run_would(self, given, more):
        flag, pattern = given
        self.refused(*_trained_with("--model_dir=run", flag, *more), pattern)
        self.assertFalse((self.folder / "run").exists())

    def test_checkpoint(self):
        flag, pattern = "--initial_checkpoint=none/checkpoint_3", "none/checkpoint_3 does not exist"
        self.refused(*_trained_with(flag, "--model_dir=run"), pattern)
        self.assertFalse((self.folder / "run").exists())

    def test_model_dir_is_a_file(self):
        self.refused(*_trained_with("--model_dir=lines.txt"), "lines.txt is a file.*--model_dir")
        self.assertEqual((self.folder / "lines.txt").read_text(), "a good film.\n")

    def test_split_without_a_file(self):
        arguments = ("--validation_file=test.tsv", _LABELS, "--prompt_file=good.npy")
        self.refused("eval", (*arguments, "--output_dir=results"), "'test'; set --test_file, or")

    def test_one_of_several_tasks(self):
        arguments = (
            "--prompt_file=good.npy",
            "--tasks=bundled_reviews,nope",
            "--output_dir=results",
        )
        self.refused("eval", arguments, "no task or mixture 'nope'")

    def test_mode(self):
        arguments = ("--input_file=lines.txt", "--prompt_file=good.npy", "--gin.infer.mode='guess'")
        self.refused("infer", arguments, "'guess'; accepted are predict, score")

    def test_output_file_without_input_file(self):
        arguments = ("--prompt_file=good.npy", "--output_file=out.jsonl", "--output_dir=results")
        self.refused("infer", arguments, "set --input_file")


class OwnProcessTest(_WrongInputTest):
    """A sample of those mistakes as a user meets them, so with whatever libraries print."""

    @parameterized.named_parameters(
        ("train", "train", ("--train_file=bad_label.tsv", _LABELS, "--model_dir=run"), "tsv:3: "),
        ("shape", *_trained_with("--prompt_file=narrow.npy", "--model_dir=run"), r"\(20, 64\)"),
        ("infer", "infer", ("--prompt_file=none.npy", "--input_file=lines.txt"), "none.npy"),
    )
    def test_is_one_line(self, name, arguments, pattern):
        result = programs.run(name, *arguments, folder=self.folder)
        self.assert_refused(result.code, result.stdout, result.stderr, pattern)

    @parameterized.parameters(None, "--dry_run")
    @unittest.skipIf(importlib.util.find_spec("jax_cuda12_plugin"), "There may be a GPU.")
    def test_a_device_that_is_not_there(self, more):
        code = (
            "import os, runpy, sys\n"
            "os.environ['JAX_PLATFORMS'] = 'cuda'\n"
            "del sys.argv[0]\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        command = programs.command("train", "--model_dir=run", *filter(None, [more]))[1:]
        result = programs.run_code(code, *command, folder=self.folder)
        pattern = "JAX_PLATFORMS=cuda asks for a device that cannot be used"
        self.assert_refused(result.code, result.stdout, result.stderr, pattern)

    def test_a_line_of_standard_input_that_is_no_text_has_its_error(self):
        code = (
            "import os, subprocess, sys\n"
            "done = subprocess.run(sys.argv[1:], input=b'good\\n\\xff\\n', capture_output=True)\n"
            "sys.stderr.write(done.stderr.decode()); sys.stdout.write(done.stdout.decode())\n"
            "sys.exit(done.returncode)\n"
        )
        command = programs.command("infer", "--prompt_file=good.npy", "--input_file=-")
        result = programs.run_code(code, *command, folder=self.folder)
        self.assertEqual(result.code, 0, result.stderr)
        good, bad = (json.loads(line) for line in result.stdout.splitlines())
        self.assertIn("prediction", good)
        self.assertEqual(bad["inputs"], {"line": 2})
        self.assertIn("line 2: byte 5 of the file is not UTF-8", bad["message"])
        self.assertIn("1 without an answer", result.stderr)


if __name__ == "__main__":
    absltest.main()
