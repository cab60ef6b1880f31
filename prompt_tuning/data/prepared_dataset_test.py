# SPDX-License-Identifier: Apache-2.0
from prompt_tuning.data import fixture_tfds, prepared_dataset

_SST2 = "sentence\tlabel\nfine\t1\ndull\t0\n"


class PreparedDatasetTest(fixture_tfds.TfdsTestCase):
    files = {"glue/sst2:2.0.0": {"train": _SST2}}

    def test_what_is_there(self):
        source = prepared_dataset.PreparedDataset("glue/sst2:2.0.0", None)
        self.assertEqual(list(source.splits), ["train"])
        self.assertLen(source.list_shards("train"), 1)
        rows = source.get_dataset("train", shuffle=False).as_numpy_iterator()
        self.assertEqual(sorted(row["sentence"] for row in rows), [b"dull", b"fine"])

    def test_a_slice_without_an_example(self):
        for part in ("train[2:]", "train[:-500]", "train[-500:-400]"):
            source = prepared_dataset.PreparedDataset("glue/sst2:2.0.0", {"train": part})
            for ask in (source.list_shards, source.get_dataset):
                with self.subTest(part), self.assertRaises(ValueError) as caught:
                    ask("train")
                self.assertIn(f"has no example in '{part}'", str(caught.exception))

    def test_each_dataset_has_its_remedy(self):
        for name, there, not_there in (
            (
                "glue/rte:2.0.0",
                "make_tfds -- --source=FOLDER --datasets=glue/rte:2.0.0 --data_dir=.*or where there "
                "is a network .*make_tfds -- --download --datasets=glue/rte:2.0.0",
                "--files",
            ),
            ("glue/rte:1.0.0", "--source=FOLDER --datasets=glue/rte:1.0.0", "--download"),
            ("squad/v1.1:3.0.0", "network .*--download --datasets=squad/v1.1:3.0.0", "--source"),
            ("c4/en:2.2.0", "make_tfds -- --files=train=FILE --datasets=c4/en:2.2.0", "--download"),
            ("cnn_dailymail:3.1.0", "--files=train=FILE --datasets=cnn_daily", "--download"),
            ("trec:0.0.1", "copy its folder from where an older TFDS", "make_tfds"),
        ):
            source = prepared_dataset.PreparedDataset(name, None, "a_task")
            for ask in (lambda s=source: s.splits, lambda s=source: s.get_dataset("train")):
                with self.subTest(name), self.assertRaises(FileNotFoundError) as caught:
                    ask()
                message = str(caught.exception)
                self.assertRegex(message, f"{name}, which the task 'a_task' reads, is not prep")
                self.assertRegex(message, there)
                self.assertNotIn(not_there, message)

    def test_a_split_that_the_dataset_on_disk_lacks(self):
        splits = {"train": "train[:50%]", "validation": "validation", "test": "train + test[5:]"}
        source = prepared_dataset.PreparedDataset("glue/sst2:2.0.0", splits, "a_task")
        self.assertEqual(list(source.splits), ["train", "validation", "test"])
        self.assertLen(source.list_shards("train"), 1)
        for split in ("validation", "test"):
            for ask in (source.list_shards, source.get_dataset):
                with (
                    self.subTest(split),
                    self.assertRaisesRegex(
                        ValueError,
                        f"glue/sst2:2.0.0, which the task 'a_task' reads, has no split '{split}' in "
                        ".*; it has train: .*make it with all of its splits: .*--source=FOLDER",
                    ),
                ):
                    ask(split)


if __name__ == "__main__":
    fixture_tfds.absltest.main()
