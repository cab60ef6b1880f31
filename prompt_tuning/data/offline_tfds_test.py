# SPDX-License-Identifier: Apache-2.0
import json
import os

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from prompt_tuning.data import offline_tfds

SST2 = "glue/sst2:2.0.0"


class OfflineTfdsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        tfds.disable_progress_bar()
        self._folder = self.create_tempdir().full_path
        self._data_dir = os.path.join(self._folder, "tfds")

    def _file(self, name: str, content: str) -> str:
        path = os.path.join(self._folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        return path

    def _make(self, name: str, **files: str) -> str:
        (dataset,) = offline_tfds.parse(name)
        return offline_tfds.make(dataset, files, self._data_dir)

    def _read(self, name: str, split: str = "train") -> list[dict]:
        return list(tfds.as_numpy(tfds.load(name, split=split, data_dir=self._data_dir)))

    def test_features_are_those_of_tfds(self):
        path = self._file("a.tsv", "sentence\tlabel\nfine\t1\ndull\tnegative\n")
        folder = self._make(SST2, train=path)
        self.assertEqual(folder, os.path.join(self._data_dir, "glue/sst2/2.0.0"))
        made = tfds.builder(SST2, data_dir=self._data_dir)
        own = tfds.builder_cls("glue")(config="sst2", data_dir=self._folder)
        self.assertEqual(repr(made.info.features), repr(own.info.features))
        self.assertEqual(made.info.features["label"].names, ["negative", "positive"])
        rows = sorted(self._read(SST2), key=lambda row: row["idx"])
        self.assertEqual([row["sentence"] for row in rows], [b"fine", b"dull"])
        self.assertEqual([row["label"] for row in rows], [1, 0])

    def test_json_lines_and_test_splits_without_labels(self):
        path = self._file("a.jsonl", '{"sentence": "x", "label": "positive"}\n')
        test = self._file("t.tsv", "index\tsentence\n0\ty\n")
        self._make(SST2, train=path, test=test)
        self.assertEqual(self._read(SST2)[0]["label"], 1)
        self.assertEqual(self._read(SST2, "test")[0]["label"], -1)

    def test_quotes_and_short_rows(self):
        path = self._file("a.tsv", 'question1\tquestion2\tis_duplicate\n"a\tb"\t1\ncut off\n')
        with self.assertLogs(level="WARNING") as logs:
            self._make("glue/qqp:1.0.0", train=path)
        self.assertIn("a.tsv: left out 1 rows that are cut off: 3.", "".join(logs.output))
        rows = self._read("glue/qqp:1.0.0")
        self.assertEqual([(r["question1"], r["question2"]) for r in rows], [(b'"a', b'b"')])

    @parameterized.parameters(
        ("text\tlabel\nx\t1\n", "a.tsv:2: there is no column 'sentence'.*'text', 'label'"),
        ("sentence\tlabel\nx\t2\n", "a.tsv:2: the label is '2'; it must be negative, positive,"),
        ("sentence\tlabel\nx\t1\nx\tgood\n", "a.tsv:3: the label is 'good'.*from 0 to 1"),
        ("sentence\nx\n", "a.tsv:2: there is no column 'label'"),
        ("sentence\tlabel\nx\0\t1\n", "a.tsv:2: .*NUL"),
    )
    def test_wrong_rows(self, content, message):
        with self.assertRaisesRegex(ValueError, message):
            self._make(SST2, train=self._file("a.tsv", content))
        self.assertFalse(os.path.exists(self._data_dir))

    def test_wrong_score(self):
        path = self._file("a.tsv", "sentence1\tsentence2\tscore\na\tb\thigh\n")
        with self.assertRaisesRegex(ValueError, "'high'; it must be a number"):
            self._make("glue/stsb:2.0.0", train=path)

    def test_wrong_rows_of_super_glue(self):
        rows = [{"question": "q", "passage": "p", "idx": 0, "label": True}, {"question": "q"}]
        path = self._file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        with self.assertRaisesRegex(ValueError, r"a.jsonl: after 1 examples .*KeyError: 'passage'"):
            self._make("super_glue/boolq", train=path)

    def test_super_glue(self):
        row = {"question": "q", "passage": "p", "idx": 0, "label": True}
        self._make("super_glue/boolq", train=self._file("a.jsonl", json.dumps(row)))
        expected = {"question": b"q", "passage": b"p", "idx": 0, "label": 1}
        self.assertEqual(self._read("super_glue/boolq:1.0.2"), [expected])

    def test_files_in_the_layout_of_the_benchmarks(self):
        names = {
            "glue/sst2:2.0.0": {"train": "SST-2/train.tsv", "validation": "SST-2/dev.tsv"},
            "glue/mnli:2.0.0": {"validation_matched": "MNLI/dev_matched.tsv"},
            "glue/mnli_matched:2.0.0": {"validation": "MNLI/dev_matched.tsv"},
            "glue/ax:2.0.0": {"test": "AX/AX.tsv"},
            "super_glue/cb:1.0.2": {"validation": "CB/val.jsonl"},
            "super_glue/wsc.fixed:1.0.2": {"train": "WSC/train.jsonl"},
            "super_glue/axb:1.0.2": {"test": "AX-b/AX-b.jsonl"},
        }
        for files in names.values():
            for name in files.values():
                self._file(name, "")
        for name, files in names.items():
            (dataset,) = offline_tfds.parse(name)
            expected = {split: os.path.join(self._folder, path) for split, path in files.items()}
            self.assertEqual(offline_tfds.find_files(dataset, self._folder), expected)
        (rte,) = offline_tfds.parse("glue/rte:1.0.0")
        self.assertEqual(offline_tfds.find_files(rte, self._folder), {})

    def test_every_dataset_has_a_place(self):
        for benchmark in offline_tfds.VERSIONS:
            for config in offline_tfds.configs(benchmark):
                for dataset in offline_tfds.parse(f"{benchmark}/{config}"):
                    self.assertEqual(offline_tfds.find_files(dataset, "/nowhere"), {})

    def test_names(self):
        versions = [str(dataset) for dataset in offline_tfds.parse("glue/rte")]
        self.assertEqual(versions, ["glue/rte:1.0.0", "glue/rte:2.0.0"])
        with self.assertRaisesRegex(ValueError, "no dataset 'glue/sst'.*Did you mean 'glue/sst2'"):
            offline_tfds.parse("glue/sst")
        with self.assertRaisesRegex(ValueError, "no version '3.0.0'.*1.0.0, 2.0.0"):
            offline_tfds.parse("glue/rte:3.0.0")

    def test_files(self):
        with self.assertRaisesRegex(ValueError, "no file for glue/sst2:2.0.0.*--files"):
            self._make(SST2)
        with self.assertRaisesRegex(FileNotFoundError, "no file /nowhere"):
            self._make(SST2, train="/nowhere")
        path = self._file("a.tsv", "sentence\tlabel\nx\t1\n")
        self._make(SST2, train=path)
        with self.assertRaisesRegex(ValueError, "already in .*remove that folder"):
            self._make(SST2, train=path)


if __name__ == "__main__":
    absltest.main()
