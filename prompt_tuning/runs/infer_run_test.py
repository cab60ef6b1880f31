# SPDX-License-Identifier: Apache-2.0
import gzip
import io
import sys
from unittest import mock

from absl.testing import absltest, parameterized

from prompt_tuning.config import dataset_config
from prompt_tuning.runs import infer_run


def config(**fields):
    files = dataset_config.FileTask(test_file="unused.tsv", **fields)
    return dataset_config.DatasetConfig(
        "file_task", {"inputs": 8, "targets": 4}, "test", 4, False, 0, file_task=files
    )


class InferRunTest(parameterized.TestCase):
    def texts(self, path, settings=None):
        return list(infer_run._texts_of_file(path, settings))

    def file(self, name, text):
        return self.create_tempfile(name, text).full_path

    def test_lines_of_any_other_file_are_texts(self):
        self.assertEqual(
            self.texts(self.file("a.txt", "one\n\n two \r\nlast")), ["one", "", " two ", "last"]
        )

    def test_standard_input(self):
        with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n"))):
            self.assertEqual(self.texts("-"), ["one", "two"])

    @parameterized.parameters(
        ("rows.tsv", "text\nfirst\nsecond\n"),
        ("rows.csv", 'text\n"first"\nsecond\n'),
        ("rows.jsonl", '{"text": "first"}\n{"text": "second"}\n'),
    )
    def test_columns(self, name, content):
        path = self.file(name, content)
        self.assertEqual(self.texts(path, config(text_columns=["text"])), ["first", "second"])

    def test_template_joins_columns(self):
        path = self.file("pairs.tsv", "premise\thypothesis\na\tb\n")
        settings = config(input_template="{premise} => {hypothesis}")
        self.assertEqual(self.texts(path, settings), ["a => b"])

    def test_compressed(self):
        path = self.create_tempfile("rows.tsv.gz").full_path
        with gzip.open(path, "wt") as file:
            file.write("text\nfirst\n")
        self.assertEqual(self.texts(path, config(text_columns=["text"])), ["first"])

    def test_missing_file_names_the_path_and_the_flag(self):
        with self.assertRaisesRegex(FileNotFoundError, "nowhere.tsv.*--input_file"):
            self.texts("nowhere.tsv")

    def test_unknown_mode(self):
        with self.assertRaisesRegex(ValueError, "'predcit'; accepted are predict, score"):
            infer_run.infer(
                mode="predcit", model=None, dataset_cfg=None, restore_checkpoint_cfg=None
            )

    def test_bad_file_ends_the_run_before_a_model_is_read(self):
        with self.assertRaisesRegex(FileNotFoundError, "nowhere"):
            infer_run.infer(
                model=None, dataset_cfg=None, restore_checkpoint_cfg=None, input_file="nowhere"
            )

    def test_inputs_end_with_eos_as_the_task_was_trained(self):
        self.assertTrue(infer_run._ends_with_eos(None))
        self.assertTrue(infer_run._ends_with_eos(config()))
        self.assertFalse(infer_run._ends_with_eos(config(add_inputs_eos=False)))


if __name__ == "__main__":
    absltest.main()
