# SPDX-License-Identifier: Apache-2.0
import json
import os

import numpy as np
import seqio

from prompt_tuning.data import fixture_tfds, pipeline, task_cache

_TASK = "taskless_glue_sst2_v200"
_ROWS = [(f"a film number {i}", i % 2) for i in range(12)]
_SST2 = "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in _ROWS)


class TaskCacheTest(fixture_tfds.TfdsTestCase):
    files = {"glue/sst2:2.0.0": {"train": _SST2, "validation": _SST2}}

    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.settings = task_cache.Settings(None, fixture_tfds.vocabulary(), self.data_dir)
        self.addCleanup(seqio.set_global_cache_dirs, [])

    def cache(self, folder: str | None = None, workers: int = 1, **options) -> list[str]:
        notes = []
        task_cache.write(
            [_TASK],
            folder or self.folder,
            self.settings,
            workers=workers,
            note=notes.append,
            **options,
        )
        return notes

    def written(self, folder: str) -> dict[str, bytes]:
        """Every file of the task's cache."""
        found = {}
        for name in os.listdir(os.path.join(folder, _TASK)):
            with open(os.path.join(folder, _TASK, name), "rb") as file:
                found[name] = file.read()
        return found

    def test_processes_beside_one_another_write_the_same_bytes(self):
        self.cache()
        other = self.create_tempdir().full_path
        self.cache(other, workers=2)
        expected, found = self.written(self.folder), self.written(other)
        self.assertCountEqual(found, expected)
        self.assertIn("train.tfrecord-00000-of-00001", found)
        for name, content in expected.items():
            self.assertTrue(found[name] == content, name)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, _TASK, name)

    def rows(self, use_cached: bool) -> list[str]:
        task = self.task(_TASK)
        dataset = task.get_dataset(
            fixture_tfds.LENGTHS, "train", shuffle=False, use_cached=use_cached
        )
        return sorted(
            repr({name: np.asarray(value).tolist() for name, value in sorted(row.items())})
            for row in dataset.as_numpy_iterator()
        )

    def test_seqio_reads_what_it_would_make(self):
        expected = self.rows(use_cached=False)
        self.cache()
        seqio.set_global_cache_dirs([self.folder])
        # Registered anew: a task remembers where it did not find a cache.
        seqio.TaskRegistry.remove(_TASK)
        self.assertEqual(self.rows(use_cached=True), expected)
        self.assertLen(expected, 12)
        stats = seqio.get_mixture_or_task(_TASK).get_cached_stats("train")
        self.assertEqual(stats["examples"], 12)
        lengths = [len(row["inputs"]) - 1 for row in self.examples(_TASK)]  # Without EOS.
        self.assertEqual(stats["inputs_tokens"], sum(lengths))
        self.assertEqual(stats["inputs_max_tokens"], max(lengths))
        batches = pipeline.BatchIterator(
            _TASK, {"inputs": 16, "targets": 8}, "train", 4, seed=0, num_epochs=1, use_cached=True
        )
        self.assertLen(list(batches), 3)

    def test_layout(self):
        self.cache()
        self.assertEqual(
            sorted(os.listdir(os.path.join(self.folder, _TASK))),
            [
                "COMPLETED",
                "info.train.json",
                "info.validation.json",
                "stats.train.json",
                "stats.validation.json",
                "train.tfrecord-00000-of-00001",
                "validation.tfrecord-00000-of-00001",
            ],
        )
        with open(self.path("info.train.json"), encoding="utf-8") as file:
            info = json.load(file)
        self.assertEqual(info["num_shards"], 1)
        self.assertEqual(info["features"]["inputs"], {"shape": [None], "dtype": "int32"})
        self.assertEqual(info["features"]["idx"], {"shape": [], "dtype": "int32"})

    def test_goes_on_where_it_stopped(self):
        self.cache()
        with open(self.path("train.tfrecord-00000-of-00001"), "rb") as file:
            written = file.read()
        self.assertIn("complete in", self.cache()[0])
        # Interrupted: the training split is done, the other one is not.
        done = task_cache.Unit(_TASK, "train", 0, 1, os.path.join(self.folder, _TASK))
        os.remove(self.path("COMPLETED"))
        os.remove(self.path("validation.tfrecord-00000-of-00001"))
        task_cache.write_unit(done, self.settings)
        with open(done.path, "rb") as file:
            self.assertEqual(file.read(), written, "The same call writes other bytes.")
        before = os.stat(done.path).st_mtime_ns
        self.assertIn("written to", self.cache()[0])
        self.assertEqual(os.stat(done.path).st_mtime_ns, before)
        self.assertTrue(os.path.exists(self.path("COMPLETED")))
        self.assertIn("written to", self.cache(overwrite=True)[0])
        self.assertGreater(os.stat(done.path).st_mtime_ns, before)


if __name__ == "__main__":
    fixture_tfds.absltest.main()
