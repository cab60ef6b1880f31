# SPDX-License-Identifier: Apache-2.0
import gzip
import io
import sys
from unittest import mock

from absl.testing import absltest, parameterized

from prompt_tuning.runs import answer_settings, infer_run


class InferRunTest(parameterized.TestCase):
    """What ends a run before a model is read; the answers are in tests/end_to_end."""

    def refused(self, message, error=ValueError, settings=None, **arguments):
        with self.assertRaisesRegex(error, message):
            infer_run.infer(
                model=None,
                dataset_cfg=None,
                restore_checkpoint_cfg=None,
                settings=answer_settings.AnswerSettings(**(settings or {})),
                **arguments,
            )

    def test_unknown_mode(self):
        self.refused("'predcit'; accepted are predict, score", mode="predcit", input_file="-")

    def test_missing_file(self):
        self.refused("no input file nowhere", FileNotFoundError, input_file="nowhere")

    def test_neither_file_nor_task(self):
        self.refused("nothing to answer: set --input_file, or infer.dataset_cfg", output_dir="out")

    def test_task_without_folder(self):
        self.refused("answers to a task go to a folder; set --output_dir")

    def test_output_file_without_input_file(self):
        self.refused("out.jsonl is for the answers to an input file", output_file="out.jsonl")

    @parameterized.parameters("/dev/null", "/dev/stdout", "/")
    def test_output_that_is_no_file(self, path):
        self.refused(f"{path} is no file, .*--output_file", input_file="-", output_file=path)

    def test_output_below_a_file(self):
        path = self.create_tempfile("rows.txt", "one\n").full_path
        self.refused(
            f"because {path} is no folder .*--output_file",
            input_file=path,
            output_file=f"{path}/new/out.jsonl",
        )

    def test_output_in_place_of_the_input(self):
        path = self.create_tempfile("rows.txt", "one\n").full_path
        self.refused("take the place of their input", input_file=path, output_file=path)

    def test_chunks_that_are_not_merged(self):
        self.refused("merge_chunked_results is False", input_file="-", merge_chunked_results=False)

    @parameterized.parameters((-1, 2), (2, 2))
    def test_shards(self, shard_id, num_shards):
        self.refused(
            f"shard is {shard_id} of 2; accepted are 0 to 1",
            shard_id=shard_id,
            num_shards=num_shards,
        )

    def test_lines_have_no_targets(self):
        with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n"))):
            self.refused("needs rows with a target", mode="score", input_file="-")

    def rows_of_stdin(self, text, input_format=None):
        settings = answer_settings.AnswerSettings(input_format=input_format)
        with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(text))):
            rows, live = infer_run._rows("-", None, settings, False)
            self.assertIsNotNone(live)
            return [row.request.text for row in rows]

    @parameterized.parameters(
        (b"one\ntwo\n", None, ["one", "two"]),
        (b'{"t": "one"}\n{"t": "two"}\n', None, ["one", "two"]),
        (b"label\tt\nno\tone\nyes\ttwo\n", None, ["one", "two"]),
        (b't,label\n"one, or two",no\n', None, ["one, or two"]),
        (b"t\none\n", "tsv", ["one"]),
        (b'{"t": "one"}\n', "lines", ['{"t": "one"}']),
        (b"", None, []),
    )
    def test_standard_input_of_any_format(self, text, input_format, expected):
        self.assertEqual(self.rows_of_stdin(text, input_format), expected)

    def test_format_of_a_file_in_place_of_its_name(self):
        path = self.create_tempfile("rows.txt", "label\tt\nno\tone\n").full_path
        settings = answer_settings.AnswerSettings(input_format="tsv")
        rows, live = infer_run._rows(path, None, settings, True)
        self.assertIsNone(live)
        self.assertEqual([(r.request.text, r.request.target) for r in rows], [("one", "no")])

    def test_lines_of_a_compressed_file(self):
        path = self.create_tempfile("lines.txt.gz", gzip.compress(b"one\ntwo\n"), "wb").full_path
        rows, _ = infer_run._rows(path, None, answer_settings.AnswerSettings(), False)
        self.assertEqual([row.request.text for row in rows], ["one", "two"])

    def test_lines_name_no_prompt(self):
        settings = {"prompts": ["a=x", "b=y"]}
        path = self.create_tempfile("lines.txt", "one\n").full_path
        self.refused(
            "name none of the prompts a, b.*--default_prompt", settings=settings, input_file=path
        )

    def test_lines_have_no_columns(self):
        path = self.create_tempfile("lines.txt", "one\n").full_path
        self.refused("no column 'task'", settings={"prompt_column": "task"}, input_file=path)

    def test_table_whose_columns_do_not_fit(self):
        path = self.create_tempfile("rows.tsv", "one\ttwo\na\tb\n").full_path
        self.refused("which column is the text", input_file=path)

    @parameterized.parameters(
        ({"label_words": ("a", "b")}, {"temperature": 0.0}, "--temperature is about decoding"),
        ({"mode": "score"}, {"num_decodes": 2}, "given targets are scored.*or mode score"),
    )
    def test_flags_without_effect(self, arguments, settings, message):
        self.refused(message, settings=settings, input_file="-", **arguments)

    def test_labels_of_a_file(self):
        path = self.create_tempfile("labels", "yes\n\n no \n").full_path
        self.assertEqual(infer_run._read_labels(path), ("yes", "no"))
        empty = self.create_tempfile("none", "\n").full_path
        with self.assertRaisesRegex(ValueError, "has no label"):
            infer_run._read_labels(empty)


if __name__ == "__main__":
    absltest.main()
