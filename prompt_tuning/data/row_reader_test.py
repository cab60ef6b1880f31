# SPDX-License-Identifier: Apache-2.0
import csv
import gzip
import io
import json
import os
import tracemalloc

from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.data import row_reader

# What a TSV cell can hold: it has no quoting, so neither tabs nor line ends.
_TSV_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n\r\0"))
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))


class RowReaderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self._folder = self.create_tempdir().full_path

    def _write(self, name: str, content: bytes | str) -> str:
        path = os.path.join(self._folder, name)
        with open(path, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    def _rows(self, name: str, content: bytes | str, **options) -> list:
        return list(row_reader.read_rows(self._write(name, content), **options))

    def test_a_stream_gives_the_rows_of_the_file(self):
        for kind, text in (("tsv", "a\tb\n\nc\td"), ("csv", 'a,"b\nc"\n'), ("jsonl", '{"a": 1}\n')):
            expected = self._rows(f"rows.{kind}", text)
            self.assertEqual(
                list(row_reader.read_stream(io.BytesIO(text.encode()), kind)), expected
            )

    @parameterized.parameters(
        ("a.tsv", "tsv"), ("a.TSV", "tsv"), ("a.b.csv.gz", "csv"), ("a.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"), ("a.tab", "tsv"),
        ("a.parquet", "parquet"), ("a.PQ", "parquet"), ("a.json.gz", "jsonl"), ("a.arrow", "arrow"),
    )  # fmt: skip
    def test_format_by_extension(self, path, expected):
        self.assertEqual(row_reader.file_format(path), expected)
        self.assertEqual(row_reader.file_format(path, "csv"), "csv")

    def test_what_has_rows(self):
        self.assertTrue(row_reader.has_rows("a.parquet"))
        self.assertFalse(row_reader.has_rows("a.txt"))
        self.assertFalse(row_reader.has_rows(self._folder))

    def test_unknown_formats(self):
        with self.assertRaisesRegex(ValueError, "extension '.txt'.*csv.*jsonl"):
            row_reader.file_format("a.txt")
        with self.assertRaisesRegex(ValueError, "'excel' is not one of tsv, csv, jsonl"):
            row_reader.file_format("a.tsv", "excel")

    def test_tsv_takes_cells_as_they_stand(self):
        rows = self._rows("a.tsv", 'x\t"y\r\n\r\nz\t w \n')
        self.assertEqual(rows, [row_reader.Row(1, ["x", '"y']), row_reader.Row(3, ["z", " w "])])

    def test_csv_row_over_several_lines_has_the_line_it_starts_on(self):
        first, second = self._rows("a.csv", 'a,"b\nc"\n\nd,"e ""f"""\n')
        self.assertEqual(first, row_reader.Row(1, ["a", "b\nc"]))
        self.assertEqual(second, row_reader.Row(4, ["d", 'e "f"']))

    def test_jsonl(self):
        rows = self._rows("a.jsonl", '{"a": 1}\n \n[2]\n{"a"\n{"a": "\\u00e9"}')
        self.assertEqual(rows[0], row_reader.Row(1, {"a": 1}))
        self.assertEqual(rows[1], row_reader.BadRow(3, rows[1].problem))
        self.assertStartsWith(
            rows[1].problem, "this is a JSON list: a line must be one JSON object"
        )
        self.assertRegex(rows[2].problem, "not JSON .*at column [0-9]+.: a line must .*--skip_bad")
        self.assertEqual(rows[3], row_reader.Row(5, {"a": "é"}))

    @parameterized.parameters(
        '{"a": 1, "b": 2, "a": 3}', '{"b": 0, "c": [{"a": 1, "a": 1}]}', '{"\\u0061": 1, "a": 1}'
    )
    def test_a_member_named_twice_is_a_bad_row(self, line):
        first, bad, last = self._rows("a.jsonl", f'{{"a": 1}}\n{line}\n{{"a": 4}}\n')
        self.assertEqual((first.cells, last.cells), ({"a": 1}, {"a": 4}))
        self.assertEqual(bad.line, 2)
        self.assertRegex(bad.problem, "the member 'a' is named twice.*rename one.*--skip_bad_rows")

    def test_byte_order_mark_is_dropped(self):
        self.assertEqual(self._rows("a.tsv", "\ufefftext\n"), [row_reader.Row(1, ["text"])])

    def test_gzip_is_recognised_by_content(self):
        packed = gzip.compress(b"x\ty\n")
        for name in ("a.tsv.gz", "a.tsv"):
            self.assertEqual(self._rows(name, packed), [row_reader.Row(1, ["x", "y"])])

    @parameterized.parameters(15, -4)
    def test_damaged_gzip(self, end):
        packed = gzip.compress(b"some text\tof some length\n" * 100)
        with self.assertRaisesRegex(ValueError, "damaged gzip"):
            self._rows("a.tsv.gz", packed[:end])

    def test_files_that_are_none(self):
        with self.assertRaisesRegex(FileNotFoundError, "no file .*nowhere.tsv"):
            list(row_reader.read_rows(os.path.join(self._folder, "nowhere.tsv")))
        with self.assertRaisesRegex(ValueError, "is a directory"):
            list(row_reader.read_rows(self._folder, "tsv"))
        with self.assertRaisesRegex(ValueError, "is empty"):
            self._rows("a.tsv", b"")

    @parameterized.named_parameters(
        ("nul", b"good\nb\0d\nlast\n", "byte 6 of the file is NUL"),
        ("latin", b"good\nb\xe9d\nlast\n", "byte 6 of the file is not UTF-8"),
        ("long", b"good\n" + b"x" * 50 + b"\nlast\n", "longer than 20 bytes"),
        ("long_to_the_buffer", b"good\n" + b"x" * 20 + b"\nlast\n", "longer than 20 bytes"),
    )  # fmt: skip
    def test_unreadable_line_is_one_bad_row(self, content, problem):
        for name in ("a.tsv", "a.csv"):
            first, bad, last = self._rows(name, content, max_row_bytes=20)
            self.assertEqual((first.line, last), (1, row_reader.Row(3, ["last"])))
            self.assertEqual(bad.line, 2)
            self.assertIn(problem, bad.problem)

    def test_offset_counts_the_byte_order_mark(self):
        (bad,) = self._rows("a.tsv", b"\xef\xbb\xbfab\xff\n")
        self.assertIn("byte 5 ", bad.problem)

    def test_broken_csv_row_is_one_bad_row(self):
        rows = self._rows("a.csv", 'a,b\n"c"d,e\nf,g\n')
        self.assertEqual([row.line for row in rows], [1, 2, 3])
        self.assertIn("not CSV", rows[1].problem)

    def test_an_open_quote_says_which_lines_go_with_it(self):
        text = b'text,label\na,x\n"b,x\nc,x\nd,x\n'
        *rows, bad = self._rows("rows.csv", text)
        self.assertEqual([row.line for row in rows], [1, 2])
        self.assertEqual(bad.line, 3)
        self.assertIn("takes the lines 3 to 5; close its quote", bad.problem)

    def test_memory_does_not_grow_with_a_row(self):
        path = self._write("a.tsv", b"x" * 8_000_000 + b"\nshort\n")
        tracemalloc.start()
        rows = list(row_reader.read_rows(path, max_row_bytes=10_000))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertLen(rows, 2)
        self.assertLess(peak, 1_000_000)

    @settings(max_examples=60, deadline=None)
    @given(rows=st.lists(st.lists(_TSV_TEXT, min_size=2, max_size=4), min_size=1, max_size=6))
    def test_tsv_round_trip(self, rows):
        text = "".join("\t".join(row) + "\n" for row in rows).removeprefix("\ufeff")
        got = self._rows("a.tsv", text)
        expected = [line.split("\t") for line in text.split("\n") if line]
        self.assertEqual([row.cells for row in got], expected)

    @settings(max_examples=60, deadline=None)
    @given(rows=st.lists(st.lists(_TEXT, min_size=2, max_size=4), min_size=1, max_size=6))
    def test_csv_round_trip(self, rows):
        path = os.path.join(self._folder, "a.csv")
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
        self.assertEqual([row.cells for row in row_reader.read_rows(path)], rows)

    @settings(max_examples=60, deadline=None)
    @given(rows=st.lists(st.dictionaries(_TEXT, _TEXT | st.integers()), min_size=1, max_size=6))
    def test_jsonl_round_trip(self, rows):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        self.assertEqual([row.cells for row in self._rows("a.jsonl", text)], rows)

    @settings(max_examples=150, deadline=None)
    @given(content=st.binary(min_size=1, max_size=200), format=st.sampled_from(row_reader.FORMATS))
    def test_garbage_gives_rows_or_value_errors(self, content, format):
        try:
            rows = self._rows("a", content, format=format, max_row_bytes=40)
        except ValueError:
            return
        lines = [row.line for row in rows]
        self.assertEqual(lines, sorted(lines))

    def test_deep_json_is_a_bad_row(self):
        (row,) = self._rows("a.jsonl", "[" * 100_000)
        self.assertIsInstance(row, row_reader.BadRow)


if __name__ == "__main__":
    absltest.main()
