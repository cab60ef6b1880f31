# SPDX-License-Identifier: Apache-2.0
"""What is read from a cache alone, and what is told of caches that are not there or not right."""

import os

import seqio

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled
from prompt_tuning.data import (
    cached_task,
    evaluation,
    fixture_tfds,
    pipeline,
    task_cache,
    task_report,
    tasks,
)

_TASK, _OTHER = "taskless_glue_sst2_v200", "taskless_glue_rte_v200"
_SST2 = "sentence\tlabel\n" + "".join(f"a film number {i}\t{i % 2}\n" for i in range(8))
_LENGTHS = {"inputs": 16, "targets": 16}


class CachedTaskTest(fixture_tfds.TfdsTestCase):
    files = {"glue/sst2:2.0.0": {"train": _SST2, "validation": _SST2}}

    def setUp(self):
        super().setUp()
        self.cache = self.create_tempdir().full_path
        self.fresh()
        self.settings = task_cache.Settings(None, fixture_tfds.vocabulary(), self.data_dir)
        task_cache.write([_TASK], self.cache, self.settings, workers=1, note=lambda text: None)
        seqio.set_global_cache_dirs([self.cache])
        self.addCleanup(seqio.set_global_cache_dirs, [])
        self.addCleanup(seqio.set_tfds_data_dir_override, self.data_dir)

    def fresh(self, name: str = _TASK, vocabulary=None):
        """Registered anew, since a task remembers its dataset."""
        seqio.TaskRegistry.remove(name)
        return tasks.ensure_registered(name, None, vocabulary or fixture_tfds.vocabulary())

    def batches(self, name: str = _TASK, split: str = "train"):
        return pipeline.BatchIterator(
            name, _LENGTHS, split, 4, seed=0, num_epochs=1, use_cached=True
        )

    def evaluator(self, split: str = "validation"):
        return evaluation.TaskEvaluator(
            _TASK, split, batch_size=4, task_feature_lengths=_LENGTHS, use_cached=True
        )

    def test_a_cache_stands_for_its_dataset(self):
        self.fresh()
        with_dataset = [batch["encoder_input_tokens"].tolist() for batch in self.batches()]
        seqio.set_tfds_data_dir_override(self.create_tempdir().full_path)
        task = self.fresh()
        self.assertEqual(list(task.splits), ["train", "validation"])
        alone = [batch["encoder_input_tokens"].tolist() for batch in self.batches()]
        self.assertEqual(alone, with_dataset)
        self.assertLen(alone, 2)
        found = self.evaluator().evaluate(lambda batch: batch["decoder_target_tokens"])
        self.assertIn("accuracy", found[_TASK])
        report, _ = task_report.of_any_task(task, "train", use_cached=True)
        self.assertEqual(report.num_examples, 8)
        # Without use_cached the dataset is asked for.
        with self.assertRaisesRegex(FileNotFoundError, "is not prepared in .*make_tfds"):
            pipeline.BatchIterator(_TASK, _LENGTHS, "train", 4, seed=0)

    def test_without_a_cache(self):
        message = (
            f"the task '{_TASK}' has no cache in .*: --seqio_additional_cache_dirs; make it with "
            f"tools/bazel run .*cache_tasks -- --tasks={_TASK} --output_cache_dir=.*USE_CACHED"
        )
        seqio.set_global_cache_dirs([self.create_tempdir().full_path])
        for ask in (self.batches, self.evaluator):
            self.fresh()
            with self.assertRaisesRegex(FileNotFoundError, message) as caught:
                ask()
            self.assertNotIn("\n", str(caught.exception))
        seqio.set_global_cache_dirs([])
        self.fresh()
        with self.assertRaisesRegex(FileNotFoundError, "no folder of caches is given: --seqio"):
            self.batches()
        seqio.set_global_cache_dirs([self.cache])
        os.remove(os.path.join(self.cache, _TASK, cached_task.COMPLETED))
        self.fresh()
        with self.assertRaisesRegex(FileNotFoundError, f"one was begun in {self.cache}"):
            self.batches()

    def test_a_split_that_the_cache_lacks(self):
        for name in ("info.validation.json", "stats.validation.json"):
            os.remove(os.path.join(self.cache, _TASK, name))
        self.fresh()
        for ask in (self.evaluator, lambda: self.batches(split="validation")):
            with self.assertRaisesRegex(ValueError, "no split 'validation'; it has train: .*anew"):
                ask()

    def test_tokens_of_another_vocabulary(self):
        other = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)
        self.fresh(vocabulary=other)
        with self.assertRaisesRegex(ValueError, "holds tokens of another vocabulary.*--overwrite"):
            self.batches()
        settings = task_cache.Settings(None, other, self.data_dir)
        with self.assertRaisesRegex(ValueError, "made with another vocabulary; set --overwrite"):
            task_cache.write([_TASK], self.cache, settings, workers=1)

    def test_foreign_tasks(self):
        seqio.TaskRegistry.remove("foreign")
        feature = seqio.Feature(fixture_tfds.vocabulary().as_seqio())
        self.addCleanup(seqio.TaskRegistry.remove, "foreign")
        for steps in ([seqio.CacheDatasetPlaceholder()], []):
            seqio.TaskRegistry.remove("foreign")
            task = seqio.TaskRegistry.add(
                "foreign",
                source=seqio.FunctionDataSource(lambda split, shuffle_files: None, ["train"]),
                preprocessors=steps,
                output_features={"targets": feature},
            )
            if steps:
                with self.assertRaisesRegex(FileNotFoundError, "'foreign' has no cache"):
                    cached_task.check(task, "train")
            else:
                cached_task.check(task, "train")  # Nothing of it can be cached.


if __name__ == "__main__":
    fixture_tfds.absltest.main()
