# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.data import file_task, shared_data, skipped_rows

_WORDS = ("negative", "positive")


class FileTaskTest(parameterized.TestCase):
    def _write(self, content: str | bytes, name: str = "a.tsv") -> str:
        path = os.path.join(self.create_tempdir().full_path, name)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def _read(self, content, name="a.tsv", **options) -> file_task.Examples:
        fmt = file_task.RowFormat(label_words=_WORDS, **options)
        return file_task.read_examples(self._write(content, name), fmt)

    def test_reads_a_file(self):
        examples = self._read("label\tsentence\n0\tawful .\npositive\tlovely \n")
        self.assertEqual(examples.inputs, ["awful .", "lovely "])
        self.assertEqual(examples.targets, ["negative", "positive"])
        np.testing.assert_array_equal(examples.label_ids, np.array([0, 1], np.int32))
        self.assertEqual(examples.label_ids.dtype, np.int32)
        self.assertLen(examples, 2)

    def test_same_rows_in_every_format(self):
        tsv = self._read("label\tsentence\n0\tso, so\n1\tgood\n")
        comma = self._read('label,sentence\n0,"so, so"\n1,good\n', "a.csv")
        lines = '{"label": 0, "sentence": "so, so"}\n{"sentence": "good", "label": "positive"}\n'
        json = self._read(lines, "a.jsonl")
        for other in (comma, json):
            self.assertEqual((other.inputs, other.targets), (tsv.inputs, tsv.targets))

    def test_generation_has_no_label_ids(self):
        examples = file_task.read_examples(self._write("q\tlabel\nwhy\tso\n"))
        self.assertIsNone(examples.label_ids)
        self.assertEqual(examples.targets, ["so"])

    @parameterized.named_parameters(
        ("label", "label\ttext\n0\tx\n5\ty\n", "a.tsv:3: the label '5' is neither"),
        ("width", "label\ttext\n0\tx\ty\n", "a.tsv:2: the row has 3 columns"),
        ("nul", b"label\ttext\n0\tx\0\n", "a.tsv:2: byte 14 of the file is NUL"),
        ("header", b"\xff\ttext\n0\tx\n", "a.tsv:1: byte 0 of the file is not UTF-8"),
        ("header_only", "label\ttext\n", "a.tsv gives no example: it has no rows"),
        ("blank", "\n\n", "gives no example"),
        ("columns", "lable\ttext\n0\tx\n", "a.tsv:1: there is no label column 'label'"),
    )
    def test_errors_say_file_and_line(self, content, problem):
        with self.assertRaisesRegex(ValueError, problem) as caught:
            self._read(content)
        self.assertNotIn("\n", str(caught.exception))

    def test_missing_file(self):
        with self.assertRaisesRegex(FileNotFoundError, "nowhere.tsv"):
            file_task.read_examples("/nowhere.tsv")

    def test_bad_rows_are_skipped_and_counted(self):
        content = b"label\ttext\n0\tx\n7\ty\n1\t\xff\n1\tz\n"
        with self.assertLogs(level="WARNING") as logs:
            examples = self._read(content, skip_bad_rows=True)
        self.assertEqual((examples.inputs, examples.skipped), (["x", "z"], 2))
        self.assertIn("a.tsv: 2 bad rows left out", logs.output[0])
        self.assertRegex(logs.output[0], r"(?s)a.tsv:3: the label '7'.*a.tsv:4: byte \d+ .* UTF-8")

    def test_many_bad_rows_are_all_counted(self):
        content = "label\ttext\n" + "0\tx\n" + "7\ty\n" * 500 + "1\tx\ty\n" * 9
        with self.assertLogs(level="WARNING") as logs:
            examples = self._read(content, skip_bad_rows=True)
        self.assertEqual(examples.skipped, 509)
        (told,) = logs.output
        self.assertIn("509 bad rows left out", told)
        for line in range(3, 3 + skipped_rows.TOLD):
            self.assertIn(f"a.tsv:{line}: the label '7'", told)
        self.assertIn(f"{500 - skipped_rows.TOLD} rows: the label * is neither", told)
        self.assertIn("9 rows: the row has * columns, and the first line has *", told)

    def test_skipping_everything_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "no row can be used, first because of .*a.tsv:2"):
            self._read("label\ttext\n7\ty\n", skip_bad_rows=True)

    def test_every_row_in_its_place(self):
        content = "\nlabel\ttext\n0\tx\n\n7\ty\n1\t \n1\tz\n"
        reader = file_task.ExampleReader(
            self._write(content), file_task.RowFormat(label_words=_WORDS)
        )
        rows = list(reader.every_row())
        self.assertEqual([row.line for row in rows], [1, 3, 4, 5, 6, 7])
        bad = [(row.is_blank, row.is_empty) for row in rows if isinstance(row, file_task.BadRow)]
        self.assertEqual(bad, [(True, False), (True, False), (False, False), (False, True)])
        self.assertEqual([rows[1].text, rows[5].text], ["x", "z"])

    def test_a_reader_can_be_read_again(self):
        reader = file_task.ExampleReader(self._write("label\ttext\n0\tx\n"))
        self.assertEqual(list(reader), list(reader))

    def test_memory_is_flat(self):
        path = self._write("label\ttext\n" + "1\tsome words of a review\n" * 100_000)
        tracemalloc.start()
        count = sum(1 for _ in file_task.ExampleReader(path))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertEqual(count, 100_000)
        self.assertLess(peak, 300_000)

    @settings(max_examples=100, deadline=None)
    @given(
        content=st.binary(max_size=120).map(lambda b: b"label\ttext\n" + b),
        format=st.sampled_from(["tsv", "csv", "jsonl"]),
        skip=st.booleans(),
    )
    def test_garbage_gives_examples_or_one_line_value_errors(self, content, format, skip):
        fmt = file_task.RowFormat(label_words=_WORDS, format=format, skip_bad_rows=skip)
        try:
            examples = file_task.read_examples(self._write(content), fmt)
        except ValueError as error:
            self.assertNotIn("\n", str(error))
        else:
            self.assertNotEmpty(examples.inputs)

    def test_imports_no_tensorflow(self):
        code = (
            "import sys; from prompt_tuning.data import file_task; "
            "sys.exit(bool({'tensorflow', 'seqio', 'jax'} & set(sys.modules)))"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    def test_sst2(self):
        path = shared_data.require(self, "sst2/train.tsv")
        started = time.process_time()
        examples = file_task.read_examples(path, file_task.RowFormat(label_words=_WORDS))
        seconds = time.process_time() - started
        print(f"SST-2: {len(examples)} rows, {len(examples) / seconds:,.0f} rows per CPU-second")
        self.assertLen(examples, 67349)
        np.testing.assert_array_equal(np.bincount(examples.label_ids), [29780, 37569])


if __name__ == "__main__":
    absltest.main()
