# SPDX-License-Identifier: Apache-2.0
import json
import os

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from prompt_tuning.data import local_dataset

C4 = "c4/en:2.2.0"
_SQUAD = {
    "id": "1",
    "title": "t",
    "context": "It rained.",
    "question": "What?",
    "answers": {"text": ["rain"], "answer_start": [3]},
}


class LocalDatasetTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        tfds.disable_progress_bar()
        self._folder = self.create_tempdir().full_path
        self._data_dir = os.path.join(self._folder, "tfds")

    def _file(self, name: str, content: str) -> str:
        path = os.path.join(self._folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def _read(self, name: str, split: str = "train") -> list[dict]:
        return list(tfds.as_numpy(tfds.load(name, split=split, data_dir=self._data_dir)))

    def test_c4(self):
        long = "word " * 300_000  # More than a row of a user's own file may have.
        rows = [{"text": "one", "url": "u"}, {"text": long, "url": "v"}]
        path = self._file("c4.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        folder = local_dataset.make(C4, {"train": path, "validation": path}, self._data_dir)
        self.assertEqual(folder, os.path.join(self._data_dir, "c4/en/2.2.0"))
        for split in ("train", "validation"):
            texts = sorted(row["text"].decode() for row in self._read(C4, split))
            self.assertEqual(texts, ["one", long])

    def test_a_table_with_a_header(self):
        path = self._file("a.csv", 'article,highlights\n"It rained, all day.",Rain.\n')
        local_dataset.make("cnn_dailymail:3.1.0", {"train": path}, self._data_dir)
        (row,) = self._read("cnn_dailymail:3.1.0")
        self.assertEqual(row, {"article": b"It rained, all day.", "highlights": b"Rain."})

    def test_features_within_features(self):
        path = self._file("a.jsonl", json.dumps(_SQUAD))
        local_dataset.make("squad/v1.1:3.0.0", {"validation": path}, self._data_dir)
        (row,) = self._read("squad/v1.1:3.0.0", "validation")
        self.assertEqual(row["answers"]["text"].tolist(), [b"rain"])
        self.assertEqual(row["question"], b"What?")

    @parameterized.parameters(
        (C4, '{"text": "a"}\n{"txt": "b"}\n', "a.jsonl:2: the row has no 'text'; it needs text"),
        (C4, '{"text": null}\n', "a.jsonl:1: the row has no 'text'"),
        (C4, '{"text": "a"}\n{"text"\n', "a.jsonl:2: this is not JSON"),
        (C4, '{"text": ["a", "b"]}\n', "a.jsonl:1: this is no example of text"),
        (C4, "\n", "a.jsonl has no row"),
        ("c4/en", '{"text": "a"}\n', "c4/en has no version"),
        ("squad/v1.1:3.0.0", '{"id": "1"}\n', "a.jsonl:1: the row has no 'title'"),
        ("nothing:1.0.0", '{"text": "a"}\n', "no features of nothing .*--datasets"),
    )
    def test_mistakes_leave_nothing_behind(self, name, content, message):
        with self.assertRaisesRegex(ValueError, message) as caught:
            local_dataset.make(name, {"train": self._file("a.jsonl", content)}, self._data_dir)
        self.assertNotIn("\n", str(caught.exception))
        self.assertFalse(os.path.exists(self._data_dir))

    def test_files(self):
        with self.assertRaisesRegex(FileNotFoundError, "no file /nowhere.*c4/en:2.2.0"):
            local_dataset.make(C4, {"train": "/nowhere"}, self._data_dir)
        path = self._file("a.jsonl", '{"text": "a"}')
        local_dataset.make(C4, {"train": path}, self._data_dir)
        with self.assertRaisesRegex(ValueError, "already in .*remove that folder"):
            local_dataset.make(C4, {"train": path}, self._data_dir)


if __name__ == "__main__":
    absltest.main()
