# SPDX-License-Identifier: Apache-2.0
import os

from absl.testing import absltest

from prompt_tuning.config import run_flags

KNOWN = (
    "model",
    "base_model",
    "initial_checkpoint",
    "model_dir",
    "prompt_length",
    "label_words",
    "split",
    "validation_file",
    "task",
)


class RunFlagsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(run_flags._remembered.clear)
        self.folder = self.create_tempdir().full_path

    def kept(self, gin_file=None, **given):
        run_flags.remember(given, gin_file)
        run_flags.write(self.folder)
        return run_flags.read(self.folder)

    def test_only_what_a_prompt_needs_is_kept_and_paths_are_absolute(self):
        kept = self.kept(
            prompt_length=10,
            train_steps=5,
            model=None,
            validation_file="dev.tsv",
            vocabulary="gs://a",
        )
        expected = {
            "prompt_length": 10,
            "validation_file": os.path.abspath("dev.tsv"),
            "vocabulary": "gs://a",
            "gin_file": [],
        }
        self.assertEqual(kept, expected)
        self.assertEqual(os.listdir(self.folder), ["flags.json"])

    def test_a_run_that_goes_on_with_other_flags_is_told_so(self):
        self.kept(prompt_length=10, train_file="a.tsv")
        with self.assertLogs(level="WARNING") as logged:
            self.kept(prompt_length=10, train_file="b.tsv", label_words=["x", "y"])
        said = "\n".join(logged.output)
        self.assertRegex(said, "began with --train_file=.*a.tsv and goes on with .*b.tsv")
        self.assertRegex(said, "--label_words=None and goes on with ..x., .y..")
        self.assertNotIn("prompt_length", said)
        with self.assertNoLogs(level="WARNING"):
            self.kept(prompt_length=10, train_file="b.tsv", label_words=["x", "y"])

    def test_given_flags_win_and_unknown_ones_are_left_out(self):
        self.kept(prompt_length=10, label_words=["a", "b"], text_column=["x"])
        given = {"model_dir": self.folder, "prompt_length": 3, "label_words": None}
        carried = run_flags.carried(given, KNOWN, None)
        self.assertEqual(carried["prompt_length"], 3)
        self.assertEqual(carried["label_words"], ["a", "b"])
        self.assertNotIn("text_column", carried)

    def test_flags_about_decoding_stand_instead_of_the_runs_labels(self):
        self.kept(label_words=["a", "b"])
        for asked in ({"temperature": 0.0}, {"label_file": "labels.txt"}):
            given = {"model_dir": self.folder, "label_words": None} | asked
            self.assertIsNone(run_flags.carried(given, KNOWN, None)["label_words"])
        given["label_words"] = ["c", "d"]
        self.assertEqual(run_flags.carried(given, KNOWN, None)["label_words"], ["c", "d"])

    def test_split_is_that_of_the_file_there_is(self):
        self.kept(validation_file="dev.tsv")
        self.assertEqual(
            run_flags.carried({"model_dir": self.folder}, KNOWN, None)["split"], "validation"
        )
        given = {"model_dir": self.folder, "split": "test"}
        self.assertEqual(run_flags.carried(given, KNOWN, None)["split"], "test")

    def test_a_base_model_is_a_path_where_there_is_one(self):
        self.assertEqual(self.kept(base_model="google/t5")["base_model"], "google/t5")
        kept = self.kept(base_model=os.path.relpath(self.folder))
        self.assertEqual(kept["base_model"], self.folder)

    def test_another_model_takes_the_place_of_the_run_s(self):
        self.kept(base_model=self.folder)
        given = {"model_dir": self.folder, "model": "t5_1_1_base", "initial_checkpoint": "c"}
        self.assertNotIn("base_model", run_flags.carried(given, KNOWN, None))
        self.kept(model="t5_1_1_base", initial_checkpoint="c", prompt_length=3)
        given = {"model_dir": self.folder, "base_model": "t5"}
        self.assertEqual(run_flags.carried(given, KNOWN, None), given | {"prompt_length": 3})

    def test_no_run_or_no_folder_changes_nothing(self):
        self.assertEqual(run_flags.carried({"model": None}, KNOWN, None), {"model": None})
        given = {"model_dir": os.path.join(self.folder, "nowhere")}
        self.assertEqual(run_flags.carried(given, KNOWN, None), given)

    def test_a_run_of_gin_files_needs_them_again(self):
        self.kept(gin_file=["models/t5.gin"])
        given = {"model_dir": self.folder}
        with self.assertRaisesRegex(ValueError, "was configured by --gin_file"):
            run_flags.carried(given, KNOWN, None)
        self.assertEqual(run_flags.carried(given, KNOWN, ["models/t5.gin"]), given)

    def test_a_process_without_flags_writes_nothing(self):
        run_flags.write(self.folder)
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    absltest.main()
