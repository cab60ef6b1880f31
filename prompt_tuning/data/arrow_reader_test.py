# SPDX-License-Identifier: Apache-2.0
import json
import os
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
from absl.testing import absltest, parameterized

from prompt_tuning.data import arrow_reader, file_task, row_reader

_COLUMNS = {"label": [0, 1, 1], "text": ["so, so", "good\tfilm\n", "Ünïcode ✓"]}
_WORDS = ("negative", "positive")


def save_to_disk(folder: str, *tables: pa.Table, indices: bool = False) -> None:
    """What `datasets.Dataset.save_to_disk` leaves: a stream for each table, and `state.json`."""
    os.makedirs(folder)
    names = [f"data-{i:05}-of-{len(tables):05}.arrow" for i in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.OSFile(os.path.join(folder, name), "wb") as file:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    state["_indices_data_files"] = [{"filename": "indices.arrow"}] if indices else None
    with open(os.path.join(folder, "state.json"), "w", encoding="utf-8") as file:
        json.dump(state, file)


class ArrowReaderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self._folder = self.create_tempdir().full_path

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _parquet(self, columns, name: str = "a.parquet") -> str:
        pq.write_table(pa.table(columns), self._path(name))
        return self._path(name)

    def _rows(self, path: str, **options) -> list:
        return list(row_reader.read_rows(path, **options))

    def _expected(self) -> list[row_reader.Row]:
        cells = [
            dict(zip(_COLUMNS, row, strict=True)) for row in zip(*_COLUMNS.values(), strict=True)
        ]
        return [row_reader.Row(number, row) for number, row in enumerate(cells, start=1)]

    def test_parquet(self):
        self.assertEqual(self._rows(self._parquet(_COLUMNS)), self._expected())

    @parameterized.parameters(pa.ipc.new_file, pa.ipc.new_stream)
    def test_arrow_files_of_both_formats(self, new):
        table = pa.table(_COLUMNS)
        with new(self._path("a.arrow"), table.schema) as writer:
            writer.write_table(table)
        self.assertEqual(self._rows(self._path("a.arrow")), self._expected())

    def test_folder_of_several_files_numbers_rows_through(self):
        table = pa.table(_COLUMNS)
        save_to_disk(self._path("saved"), table.slice(0, 1), table.slice(1))
        self.assertEqual(self._rows(self._path("saved")), self._expected())

    def test_dictionary_columns_are_texts(self):
        texts = pa.array(_COLUMNS["text"]).dictionary_encode()
        rows = self._rows(self._parquet({"label": _COLUMNS["label"], "text": texts}))
        self.assertEqual(rows, self._expected())

    def test_same_examples_as_a_jsonl_file(self):
        with open(self._path("a.jsonl"), "w", encoding="utf-8") as file:
            for row in self._expected():
                file.write(json.dumps(row.cells) + "\n")
        save_to_disk(self._path("saved"), pa.table(_COLUMNS))
        paths = ["a.jsonl", os.path.basename(self._parquet(_COLUMNS)), "saved"]
        row_format = file_task.RowFormat(label_words=_WORDS)
        lines, *others = (file_task.read_examples(self._path(p), row_format) for p in paths)
        self.assertEqual(lines.targets, ["negative", "positive", "positive"])
        for other in others:
            self.assertEqual((other.inputs, other.targets), (lines.inputs, lines.targets))

    def test_bad_rows_have_numbers(self):
        path = self._parquet({"text": ["a", None, "x" * 50], "label": [1, 0, 1]})
        with self.assertRaisesRegex(ValueError, "a.parquet:2: 'text' is null"):
            file_task.read_examples(path, file_task.RowFormat(label_words=_WORDS))
        long = self._rows(path, max_row_bytes=20)[2]
        self.assertEqual(long, row_reader.BadRow(3, long.problem))
        self.assertIn("longer than 20 bytes", long.problem)

    def test_a_text_that_is_not_utf8(self):
        texts = pa.array([b"good", b"caf\xe9"]).cast(pa.string(), safe=False)
        good, bad = self._rows(self._parquet({"text": texts}))
        self.assertEqual(good.cells, {"text": "good"})
        self.assertIn("byte 3 of 'text' is not UTF-8", bad.problem)

    def test_split_folders(self):
        for split in ("train", "validation"):
            save_to_disk(self._path(f"saved/{split}"), pa.table(_COLUMNS))
        saved = self._path("saved")
        with open(os.path.join(saved, "dataset_dict.json"), "w", encoding="utf-8") as file:
            json.dump({"splits": ["train", "validation"]}, file)
        self.assertEqual(arrow_reader.split_folder(saved, "train"), os.path.join(saved, "train"))
        self.assertEqual(arrow_reader.split_folder("a.tsv", "train"), "a.tsv")
        with self.assertRaisesRegex(ValueError, "no split 'test'; it has train, validation"):
            arrow_reader.split_folder(saved, "test")
        with self.assertRaisesRegex(ValueError, "holds the splits train, validation"):
            self._rows(saved)

    def test_unusable_files(self):
        with open(self._path("a.parquet"), "wb") as file:
            file.write(b"text\tlabel\n" * 10)
        with self.assertRaisesRegex(ValueError, "a.parquet cannot be read as Parquet"):
            self._rows(self._path("a.parquet"))
        os.rename(self._path("a.parquet"), self._path("a.arrow"))
        with self.assertRaisesRegex(ValueError, "a.arrow cannot be read as Arrow"):
            self._rows(self._path("a.arrow"))
        save_to_disk(self._path("selection"), pa.table(_COLUMNS), indices=True)
        with self.assertRaisesRegex(ValueError, "flatten_indices"):
            self._rows(self._path("selection"))
        save_to_disk(self._path("half"), pa.table(_COLUMNS))
        os.remove(self._path("half/data-00000-of-00001.arrow"))
        with self.assertRaisesRegex(FileNotFoundError, "which state.json beside it names"):
            self._rows(self._path("half"))
        with open(self._path("half/state.json"), "w", encoding="utf-8") as file:
            file.write("[]")
        with self.assertRaisesRegex(ValueError, "not what save_to_disk writes"):
            self._rows(self._path("half"))

    def test_memory_does_not_grow_with_the_file(self):
        text = ["a line of some length " * 10] * 200_000
        path = self._parquet({"text": text, "label": [1] * len(text)})
        del text
        reader = row_reader.read_rows(path)
        next(reader)
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        count = sum(1 for _ in reader)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        self.assertEqual(count, 199_999)
        self.assertLess(peak, 4 << 20)
        self.assertLess(pa.total_allocated_bytes() - before, 64 << 20)


if __name__ == "__main__":
    absltest.main()
