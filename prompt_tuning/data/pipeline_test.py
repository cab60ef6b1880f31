# SPDX-License-Identifier: Apache-2.0
import json
import os

import numpy as np
import seqio
from absl.testing import absltest, parameterized

from prompt_tuning.config import dataset_config
from prompt_tuning.data import fixture_tasks, pipeline, tasks

_LENGTHS = {"inputs": 16, "targets": 4}


class BatchIteratorTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        fixture_tasks.register_ours()
        fixture_tasks.register_plain()

    def _batches(self, name: str, **options) -> pipeline.BatchIterator:
        arguments = {"split": "train", "batch_size": 3, "seed": 0, "num_epochs": 2, **options}
        return pipeline.BatchIterator(name, _LENGTHS, **arguments)

    def _assert_same(self, got, expected):
        self.assertLen(got, len(expected))
        for a, b in zip(got, expected, strict=True):
            self.assertEqual(set(a), set(b))
            for name in b:
                self.assertEqual(a[name].dtype, b[name].dtype)
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)

    @parameterized.product(name=["ours", "plain"], inputs_eos=[True, False])
    def test_batches_are_those_of_plain_seqio(self, name, inputs_eos):
        fixture_tasks.register_ours(inputs_eos=inputs_eos)
        fixture_tasks.register_plain(inputs_eos=inputs_eos)
        expected = seqio.get_dataset(
            "plain",
            _LENGTHS,
            seqio.EncDecFeatureConverter(pack=False),
            dataset_split="train",
            num_epochs=2,
        ).batch(3, drop_remainder=True)
        got = list(self._batches(name, shuffle=False))
        self._assert_same(got, list(expected.as_numpy_iterator()))
        self.assertLen(got, 14 // 3)

    @parameterized.parameters("ours", "plain")
    def test_last_batch_is_filled_with_rows_of_no_weight(self, name):
        *whole, last = self._batches(name, shuffle=False, drop_remainder=False)
        self._assert_same(whole, list(self._batches(name, shuffle=False)))
        self.assertTrue(last["decoder_loss_weights"][:2].any(axis=1).all())
        for name, array in last.items():
            self.assertLen(array, 3)
            self.assertFalse(array[2].any(), name)

    @parameterized.parameters("ours", "plain")
    def test_seed_decides_the_order(self, name):
        self._assert_same(list(self._batches(name)), list(self._batches(name)))
        first = np.concatenate([b["encoder_input_tokens"] for b in self._batches(name)])
        other = np.concatenate([b["encoder_input_tokens"] for b in self._batches(name, seed=1)])
        self.assertFalse(np.array_equal(first, other))

    def test_drawn_seed_is_kept_with_the_position(self):
        batches = self._batches("ours", seed=None)
        path = os.path.join(self.create_tempdir().full_path, "position")
        batches.save(path)
        other = self._batches("ours", seed=None)
        other.restore(path)
        self.assertEqual(other.seed, batches.seed)
        self._assert_same(list(other), list(batches))

    @parameterized.product(name=["ours", "plain"], seen=[1, 3])
    def test_interrupted_run_sees_the_same_batches(self, name, seen):
        expected = list(self._batches(name))
        batches = self._batches(name)
        path = os.path.join(self.create_tempdir().full_path, "train_ds-000-of-001")
        got = [next(batches) for _ in range(seen)]
        batches.save(path)
        for file in os.listdir(os.path.dirname(path)):
            self.assertStartsWith(file, "train_ds-000-of-001")
        other = self._batches(name)
        other.restore(path)
        self._assert_same(got + list(other), expected)

    @parameterized.parameters("ours", "plain")
    def test_buckets_keep_the_content(self, name):
        buckets = {"inputs": (4, 8), "targets": (2,)}
        widths = set()
        for cut, full in zip(
            self._batches(name, batch_size=1, length_buckets=buckets),
            self._batches(name, batch_size=1),
            strict=True,
        ):
            for feature, array in cut.items():
                width = array.shape[1]
                np.testing.assert_array_equal(array, full[feature][:, :width])
                if feature != "decoder_input_tokens":
                    self.assertFalse(full[feature][:, width:].any())
            widths.add(cut["encoder_input_tokens"].shape[1])
        self.assertEqual(widths, {4, 8, 16})

    @parameterized.product(name=["ours", "plain"], num_shards=[2, 3, 6])
    def test_shards_make_up_the_batch_of_one_host(self, name, num_shards):
        options = {
            "batch_size": 6,
            "drop_remainder": False,
            "length_buckets": {"inputs": (4, 8), "targets": (2,)},
        }
        whole = list(self._batches(name, **options))
        shards = [
            self._batches(name, shard_index=i, num_shards=num_shards, **options)
            for i in range(num_shards)
        ]
        joined = [
            {feature: np.concatenate([part[feature] for part in parts]) for feature in parts[0]}
            for parts in zip(*shards, strict=True)
        ]
        self._assert_same(joined, whole)

    @parameterized.parameters("ours", "plain")
    def test_other_number_of_shards_goes_on(self, name):
        one, path = self._batches(name, batch_size=2), self.create_tempdir().full_path
        next(one)
        one.save(f"{path}/position")
        second = self._batches(name, batch_size=2, shard_index=1, num_shards=2)
        second.restore(f"{path}/position")
        parts = [{k: rows[1:] for k, rows in batch.items()} for batch in one]
        self._assert_same(list(second), parts)

    def test_endless_batches(self):
        batches = self._batches("ours", num_epochs=None)
        self.assertLen([next(batches) for _ in range(20)], 20)
        self.assertGreater(batches.examples_per_second, 0)

    def test_batch_larger_than_the_data(self):
        batch = next(self._batches("ours", batch_size=20, num_epochs=None))
        rows = [tuple(row) for row in batch["encoder_input_tokens"].tolist()]
        self.assertLen(set(rows), len(fixture_tasks.PAIRS))

    def test_measured_lengths_and_shapes(self):
        batches = pipeline.BatchIterator("ours", None, "train", 7, num_epochs=1)
        batch = next(batches)
        shapes = {name: array.shape for name, array in batch.items()}
        self.assertEqual(shapes, batches.input_shapes)
        self.assertTrue(batch["encoder_input_tokens"][:, -1].any())

    def test_position_of_other_batches(self):
        path = os.path.join(self.create_tempdir().full_path, "position")
        self._batches("ours").save(path)
        with self.assertRaisesRegex(ValueError, "saved with batch_size 3, and now it is 4"):
            self._batches("ours", batch_size=4).restore(path)
        with self.assertRaisesRegex(ValueError, "saved with kind 'text'"):
            self._batches("plain").restore(path)
        with self.assertRaisesRegex(FileNotFoundError, "no data position at .*nowhere"):
            self._batches("ours").restore(f"{path}/nowhere")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["position"]["example"], 0)

    @parameterized.named_parameters(
        ("batch", {"batch_size": 0}, "batch size is 0"),
        ("epochs", {"num_epochs": 0}, "number of epochs is 0"),
        ("seed", {"seed": -1}, "seed is -1"),
        ("split", {"split": "test"}, "no split 'test'"),
        ("lengths", {"task_feature_lengths": {"inputs": 3}}, "'targets' of at least 1"),
        ("task", {"mixture_or_task_name": "our"}, "no task or mixture 'our'.*'ours'"),
        ("shards", {"batch_size": 4, "num_shards": 3}, "batch size is 4, which 3 hosts cannot"),
        ("hosts_without_seed", {"num_shards": 2}, "no seed, and 2 hosts must agree"),
        ("no_such_shard", {"shard_index": 2, "num_shards": 2}, "shard is 2 of 2"),
        ("module", {"module": "no_such_module"}, "MIXTURE_OR_TASK_MODULE is 'no_such_module'"),
    )
    def test_errors(self, options, problem):
        arguments = {
            "mixture_or_task_name": "ours",
            "task_feature_lengths": _LENGTHS,
            "split": "train",
            "batch_size": 2,
        }
        with self.assertRaisesRegex(ValueError, problem):
            pipeline.BatchIterator(**arguments | options)

    def test_from_config(self):
        path = os.path.join(self.create_tempdir().full_path, "a.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("label\ttext\n" + "1\tgood\n0\tbad\n" * 4)
        config = dataset_config.DatasetConfig(
            mixture_or_task_name=tasks.FILE_TASK,
            task_feature_lengths=_LENGTHS,
            split="train",
            batch_size=8,
            shuffle=False,
            seed=3,
            file_task=dataset_config.FileTask(train_file=path, label_words=("no", "yes")),
        )
        vocabulary = fixture_tasks.vocabulary()
        batches = pipeline.BatchIterator.from_config(config, vocabulary, num_epochs=1)
        (batch,) = batches
        self.assertEqual(batches.seed, 3)
        decoded = [vocabulary.decode(row) for row in batch["decoder_target_tokens"]]
        self.assertEqual(decoded, ["yes", "no"] * 4)


if __name__ == "__main__":
    absltest.main()
