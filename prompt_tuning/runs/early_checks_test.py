# SPDX-License-Identifier: Apache-2.0
"""Tests of what a run refuses before anything heavy is loaded."""

import errno
import os
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from data_ops import vocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import prompt_artifact, t5x_format
from prompt_tuning.config import checkpoint_config, dataset_config
from prompt_tuning.runs import early_checks

_TRAIN = {"model_dir": "m", "total_steps": None, "relative_steps": 3, "eval_period": 2}


def _config(split="train", task="file_task", module=None, **files):
    file_task = dataset_config.FileTask(**files) if files else None
    return dataset_config.DatasetConfig(
        task, None, split, 4, False, 0, module=module, file_task=file_task
    )


class EarlyChecksTest(parameterized.TestCase):
    def rows(self, text):
        return self.create_tempfile("rows.tsv", text).full_path

    def assert_refused(self, pattern, entry_point="train", error=ValueError, **settings):
        base = _TRAIN if entry_point == "train" else {}
        with self.assertRaisesRegex(error, pattern):
            early_checks.check(entry_point, {**base, **settings})

    def test_good_settings(self):
        good = _config(train_file=self.rows("text\tlabel\na\tb\n"))
        early_checks.check("train", {**_TRAIN, "train_dataset_cfg": good})
        early_checks.check("evaluate", {"dataset_cfg": _config("test", "bundled_reviews")})
        early_checks.check("infer", {"mode": "score"})

    @parameterized.parameters(
        ({"relative_steps": 0}, "number of steps is 0.*--train_steps"),
        ({"relative_steps": None}, "no number of steps.*--train_steps"),
        ({"relative_steps": None, "total_steps": 0}, "TRAIN_STEPS is 0"),
        ({"relative_steps": "3"}, "number of steps is '3'"),
        ({"eval_period": 0}, "--eval_period"),
        ({"baseline": "model_tunning"}, "'model_tunning'.*did you mean 'model_tuning'"),
        ({"model_dir": __file__}, "is a file.*--model_dir"),
    )
    def test_settings_of_training(self, settings, pattern):
        self.assert_refused(pattern, **settings)

    @parameterized.parameters("/proc/x", "/proc/x/y")  # Even root's permissions do not help there.
    def test_a_folder_that_may_not_be_written(self, path):
        self.assert_refused(r"^/proc may not be written to \(.*--model_dir", model_dir=path)

    def test_a_folder_that_is_not_there_yet_is_not_made(self):
        above = self.create_tempdir().full_path
        early_checks.check_folder(os.path.join(above, "new", "run"), "--model_dir")
        self.assertEmpty(os.listdir(above))
        full = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(tempfile, "mkdtemp", side_effect=full):
            self.assert_refused(r"written to \(No space left", model_dir=above)

    @parameterized.parameters(
        ({"early_stopping": 0, "best_metric": "loss"}, "patience is 0 evaluations.*EARLY_STOPPING"),
        ({"early_stopping": 3, "best_metric": None}, "metric is None; set --early_stopping"),
        (
            {"early_stopping": None, "best_metric": "auc"},
            "best auc is found on examples.*set --validation_file",
        ),
    )
    def test_what_is_the_best_prompt(self, settings, pattern):
        only_train = _config("validation", train_file="x")
        for evaluated in (None, only_train):
            self.assert_refused(pattern, **settings, infer_eval_dataset_cfg=evaluated)
        whole = _config("validation", task="bundled_reviews")
        early_checks.check_best("auc", 2, whole)
        early_checks.check_best(None, None, None)

    def test_mode(self):
        self.assert_refused("'guess'; accepted are predict", "infer", mode="guess")

    @parameterized.parameters(
        ("train_dataset_cfg", "train", None), ("infer_eval_dataset_cfg", "validation", None),
        ("infer_eval_dataset_cfg", "test", "test"),
    )  # fmt: skip
    def test_every_file_of_a_training_run_is_read(self, name, split, final_split):
        rows = self.rows("text\tlabel\na\tyes\nb\tmaybe\n")
        files = {f"{split}_file": rows, "label_words": ("no", "yes")}
        used = split if final_split is None else "validation"
        config = _config(used, **files)
        settings = {name: config, "final_eval_split": final_split}
        self.assert_refused("rows.tsv:3: the label 'maybe'", **settings)

    def test_large_files_are_read_in_part(self):
        config = _config(train_file=self.rows("text\tlabel\n" + "a\tb\n" * 3 + "ragged\n"))
        with mock.patch.object(early_checks, "_MAX_ROWS", 3):
            early_checks.check_rows(config)
        with self.assertRaisesRegex(ValueError, "rows.tsv:5: the row has 1 columns"):
            early_checks.check_rows(config)

    def test_bad_rows_that_are_left_out(self):
        rows = self.rows("text\tlabel\na\tb\nragged\n")
        early_checks.check_rows(_config(train_file=rows, skip_bad_rows=True))

    def test_a_split_without_a_file(self):
        self.assertTrue(early_checks.has_split(_config(train_file="x")))
        self.assertFalse(early_checks.has_split(_config(train_file="x"), "test"))
        self.assertTrue(early_checks.has_split(_config(task="bundled_reviews")))
        self.assert_refused("'train'; set --train_file", train_dataset_cfg=_config(test_file="x"))
        self.assert_refused(
            "'test'; set --test_file, or another --split", "evaluate",
            dataset_cfg=_config("test", train_file="x"),
        )  # fmt: skip

    def test_tasks(self):
        unknown = {"dataset_cfg": _config(task="bundled_review")}
        self.assert_refused("Did you mean 'bundled_reviews'", "evaluate", **unknown)
        early_checks.check("evaluate", unknown, foreign_tasks=True)
        foreign = {"dataset_cfg": _config(task="theirs", module="absl.testing")}
        early_checks.check("evaluate", foreign)
        gone = {"dataset_cfg": _config(task="theirs", module="no_such.module")}
        self.assert_refused("MIXTURE_OR_TASK_MODULE is 'no_such.module'", "evaluate", **gone)

    @parameterized.parameters("prompt_tuning.data.tasks", "prompt_tuning.spot.data.tasks")
    def test_upstreams_modules_of_tasks(self, module):
        task = "taskless_glue_sst2_v200_examples"
        early_checks.check("evaluate", {"dataset_cfg": _config(task=task, module=module)})
        wrong = {"dataset_cfg": _config(task=task, module=module.replace("data", "dta"))}
        self.assert_refused(f"is '{module.replace('data', 'dta')}', and imp", "evaluate", **wrong)
        unknown = {"dataset_cfg": _config(task="taskless_glue_sst3", module=module)}
        self.assert_refused("no task or mixture 'taskless_glue_sst3'", "evaluate", **unknown)

    def test_an_absolute_number_of_steps_before_the_checkpoints(self):
        folder = self.create_tempdir().full_path
        t5x_format.write_checkpoint(folder, 1100, {"w": np.zeros(2, np.float32)})
        restore = checkpoint_config.RestoreCheckpointConfig(folder, mode="latest")
        settings = {
            "checkpoint_cfg": checkpoint_config.CheckpointConfig(restore=restore),
            "total_steps": 30,
        }
        pattern = "TRAIN_STEPS is 30, but the checkpoint is at step 1100.*TRAIN_STEPS=1130 for 30"
        self.assert_refused(pattern, **settings, relative_steps=None)
        early_checks.check("train", {**_TRAIN, **settings, "relative_steps": 30})
        settings["total_steps"] = 1100
        early_checks.check("train", {**_TRAIN, **settings, "relative_steps": None})

    def test_checkpoints(self):
        folder = self.create_tempdir()
        restore = checkpoint_config.RestoreCheckpointConfig
        config = checkpoint_config.CheckpointConfig(
            restore=restore(bundled.checkpoint_path(), mode="specific")
        )
        early_checks.check("train", {**_TRAIN, "checkpoint_cfg": config})
        early_checks.check("evaluate", {"restore_checkpoint_cfg": restore("gs://b/checkpoint_1")})
        empty = restore(folder.full_path, mode="specific")
        self.assert_refused(
            "holds no checkpoint", "evaluate", FileNotFoundError, restore_checkpoint_cfg=empty
        )

    def check_model_files(
        self, model=None, rows=None, prompt=None, shape=(None, None), restore=None
    ):
        found = None if model is None else vocabulary.SentencePieceVocabulary(model, 100)
        early_checks.check_model_files(found, rows, prompt, shape, restore)

    def test_vocabulary(self):
        self.check_model_files(bundled.vocabulary_path(), rows=1280)
        self.check_model_files("gs://bucket/sentencepiece.model", rows=1)
        with self.assertRaisesRegex(ValueError, "ids, but the model's table has 200 rows"):
            self.check_model_files(bundled.vocabulary_path(), rows=200)
        with self.assertRaisesRegex(ValueError, "not a SentencePiece model"):
            self.check_model_files(__file__)

    def test_prompt(self):
        path = os.path.join(self.create_tempdir().full_path, "prompt.npy")
        np.save(path, np.zeros((3, 8), np.float32))
        self.check_model_files(prompt=path, shape=(3, 8))
        self.check_model_files(prompt=path, shape=(None, 8))
        self.check_model_files(prompt="gs://bucket/prompt", shape=(3, 8))
        with self.assertRaisesRegex(ValueError, r"\(3, 8\), the model needs \(3, 16\)"):
            self.check_model_files(prompt=path, shape=(3, 16))
        with self.assertRaisesRegex(ValueError, "is not an npy file"):
            self.check_model_files(prompt=__file__)

    def test_an_artifact_of_another_length_names_fingerprints(self):
        path = os.path.join(self.create_tempdir().full_path, "prompt.tar")
        metadata = prompt_artifact.Metadata("p", "1-base", "words", length=3, width=8)
        prompt_artifact.write(path, np.zeros((3, 8), np.float32), metadata, "")
        restore = checkpoint_config.RestoreCheckpointConfig(
            bundled.checkpoint_path(), mode="specific"
        )
        for words, shape in (
            (None, (5, 8)),
            (None, (3, 16)),
            (bundled.vocabulary_path(), (3, 8)),
        ):
            with self.assertRaisesRegex(ValueError, "1-base, and this is 1-"):
                self.check_model_files(words, None, path, shape, restore)
        self.check_model_files(None, None, path, (3, 8), restore)
        far = checkpoint_config.RestoreCheckpointConfig("gs://bucket/checkpoint_1")
        with self.assertRaisesRegex(ValueError, r"\(3, 8\), the model needs \(5, 8\)"):
            self.check_model_files(None, None, path, (5, 8), far)

    def test_importing_the_checks_loads_nothing_heavy(self):
        code = (
            "import sys\nfrom prompt_tuning.runs import early_checks\n"
            "assert not {'jax', 'tensorflow', 'seqio'} & set(sys.modules)\n"
        )
        environment = {"PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)


if __name__ == "__main__":
    absltest.main()
