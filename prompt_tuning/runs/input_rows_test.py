# SPDX-License-Identifier: Apache-2.0
import gzip
import io

from absl.testing import absltest, parameterized

from prompt_tuning.config import dataset_config
from prompt_tuning.inference import requests
from prompt_tuning.runs import input_rows


class InputRowsTest(parameterized.TestCase):
    def file(self, name, text):
        return self.create_tempfile(name, text).full_path

    def table(self, path, prompt_column=None, with_targets=False, **fields):
        files = dataset_config.FileTask(test_file="unused.tsv", **fields)
        return list(input_rows.of_table(path, files, prompt_column, with_targets))

    def texts(self, rows):
        return [row.request.text for row in rows]

    def test_lines_are_texts(self):
        lines = b"\xef\xbb\xbfone\n\n two \r\nlast"
        rows = list(input_rows.of_lines(io.BytesIO(lines)))
        self.assertEqual(self.texts(rows), ["one", "", " two ", "last"])
        self.assertEqual(rows[0].fields, {"inputs_pretokenized": "one"})

    def test_a_line_that_is_no_text_is_an_error_of_its_row(self):
        long = b"x" * (2 << 20)
        lines = b"\n".join([b"one", b"\xff", b"a\0b", long, b"two"])
        rows = list(input_rows.of_lines(io.BytesIO(lines)))
        errors = [row.request for row in rows[1:4]]
        self.assertEqual([row.fields for row in rows[1:4]], [{"line": n} for n in (2, 3, 4)])
        self.assertEqual({error.kind for error in errors}, {requests.UNREADABLE})
        for error, said in zip(errors, ("is not UTF-8", "is NUL", "longer than"), strict=True):
            self.assertIn(said, error.message)
        self.assertEqual((rows[0].request.text, rows[4].request.text), ("one", "two"))

    @parameterized.parameters(
        ("rows.tsv", "text\nfirst\nsecond\n"),
        ("rows.csv", 'text\n"first"\nsecond\n'),
        ("rows.jsonl", '{"text": "first"}\n{"text": "second"}\n'),
    )
    def test_tables(self, name, content):
        rows = self.table(self.file(name, content), text_columns=["text"])
        self.assertEqual(self.texts(rows), ["first", "second"])

    @parameterized.parameters(
        (b"a charming film .\n", {}, "lines"),
        (b"one, two, three\n", {}, "lines"),
        (b'{"text": "a"}\n', {}, "jsonl"),
        (b'\xef\xbb\xbf{"text": "a"}\r\n', {}, "jsonl"),
        (b'["text"]\n', {}, "lines"),
        (b"{not json}\n", {}, "lines"),
        (b"label\tsentence\n", {}, "tsv"),
        (b"sentence,label\r\n", {}, "csv"),
        (b"label\n", {}, "lines"),
        (b"sentence\n", {}, "lines"),
        (b"sentence\n", {"text_columns": ["sentence"]}, "tsv"),
        (b"id\tsentence\n", {"text_columns": ["sentence"]}, "tsv"),
        (b"id\tphrase\n", {"text_columns": ["sentence"]}, "lines"),
        (b"idx\tlabel\tfoo\n", {"text_columns": ["sentence"]}, "lines"),
        (b'"a b",premise,hypothesis\n', {"input_template": "{premise} {hypothesis}"}, "csv"),
        (b"premise\n", {"input_template": "{premise} {hypothesis}"}, "lines"),
        (b"\xff\xfe\n", {}, "lines"),
        (b"", {}, "lines"),
    )
    def test_format_by_the_first_line(self, line, fields, expected):
        self.assertEqual(input_rows.sniffed(line, dataset_config.FileTask(**fields)), expected)

    def test_a_header_that_names_the_prompts(self):
        self.assertEqual(input_rows.sniffed(b"text\tprompt\n", None), "tsv")
        self.assertEqual(input_rows.sniffed(b"prompt\n", None), "lines")

    def test_rows_of_a_stream(self):
        stream = io.BytesIO(b"text\tlabel\nfirst\tno\n\nragged\nlast\tyes\n")
        rows = list(input_rows.of_table("-", None, None, False, "tsv", stream))
        texts = [getattr(row.request, "text", None) for row in rows]
        self.assertEqual(texts, ["first", None, None, "last"])
        self.assertIn("line 4: the row has 1 columns", rows[2].request.message)
        with self.assertRaisesRegex(ValueError, "standard input:1: .*'txt'.*--text_column"):
            columns = dataset_config.FileTask(text_columns=["txt"])
            list(input_rows.of_table("-", columns, None, False, "tsv", io.BytesIO(b"text\na\n")))

    def test_template_joins_columns(self):
        path = self.file("pairs.tsv", "premise\thypothesis\na\tb\n")
        rows = self.table(path, input_template="{premise} => {hypothesis}")
        self.assertEqual(self.texts(rows), ["a => b"])

    def test_compressed(self):
        path = self.create_tempfile("rows.tsv.gz").full_path
        with gzip.open(path, "wt") as file:
            file.write("text\nfirst\n")
        self.assertEqual(self.texts(self.table(path)), ["first"])

    @parameterized.parameters(("prompt", None), ("task", "task"))
    def test_prompts_of_rows(self, header, column):
        path = self.file("rows.tsv", f"text\t{header}\na\tsst\nb\t\n")
        rows = self.table(path, column)
        self.assertEqual([row.request.prompt for row in rows], ["sst", None])
        self.assertEqual(rows[0].fields, {"inputs_pretokenized": "a", "prompt": "sst"})

    def test_a_prompt_column_that_was_asked_for_must_be_there(self):
        path = self.file("rows.tsv", "text\tprompt\na\tsst\n")
        with self.assertRaisesRegex(ValueError, "no prompt column 'taks'.*--prompt_column"):
            self.table(path, "taks", text_columns=["text"])

    def test_labels_are_no_text_and_need_not_be_there(self):
        path = self.file("rows.tsv", "text\tlabel\na\tpositive\n")
        rows = self.table(path)
        self.assertEqual(
            rows[0].fields, {"inputs_pretokenized": "a", "targets_pretokenized": "positive"}
        )
        self.assertIsNone(rows[0].request.target)
        path = self.file("other.tsv", "text\na\n")
        self.assertEqual(self.texts(self.table(path)), ["a"])

    def test_targets(self):
        path = self.file("rows.tsv", "text\tlabel\na\t1\nb\tso so\n")
        rows = self.table(path, with_targets=True, label_words=["negative", "positive"])
        self.assertEqual(rows[0].request.target, "positive")
        self.assertEqual(rows[1].request.kind, requests.UNREADABLE)
        with self.assertRaisesRegex(ValueError, "no label column 'label'"):
            self.table(self.file("none.tsv", "text\na\n"), with_targets=True)

    def test_bad_rows_keep_their_place(self):
        content = '{"text": "a"}\n\n{"text": \n{"txt": "b"}\n{"text": " "}\n{"text": "c"}\n'
        rows = self.table(self.file("rows.jsonl", content), text_columns=["text"])
        kinds = [getattr(row.request, "kind", None) for row in rows]
        self.assertEqual(kinds, [None, "empty", "unreadable", "unreadable", "empty", None])
        self.assertEqual(rows[2].fields, {"line": 3})
        path = self.file("again.jsonl", content)
        rows = self.table(path, text_columns=["text"], skip_bad_rows=True)
        self.assertEqual(self.texts(rows), ["a", "c"])

    def test_missing_file_names_the_path_and_the_flag(self):
        with self.assertRaisesRegex(FileNotFoundError, "nowhere.tsv.*--input_file"):
            input_rows.is_table("nowhere.tsv")


if __name__ == "__main__":
    absltest.main()
