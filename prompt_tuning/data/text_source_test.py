# SPDX-License-Identifier: Apache-2.0
import time

import numpy as np
import seqio
from absl.testing import absltest, parameterized

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.data import file_task, fixture_tasks, shared_data, text_source


class TextSourceTest(parameterized.TestCase):
    @parameterized.product(
        inputs_eos=[True, False],
        lengths=[{"inputs": 12, "targets": 3}, {"inputs": 100, "targets": 16}, None],
    )
    def test_a_task_gives_what_plain_seqio_gives(self, inputs_eos, lengths):
        ours = fixture_tasks.register_ours(inputs_eos=inputs_eos)
        plain = fixture_tasks.register_plain(inputs_eos=inputs_eos)
        got, expected = (
            list(task.get_dataset(lengths, "train", shuffle=False).as_numpy_iterator())
            for task in (ours, plain)
        )
        self.assertLen(got, len(expected))
        for a, b in zip(got, expected, strict=True):
            self.assertEqual(set(a), set(b))
            for name in b:
                self.assertEqual(np.asarray(a[name]).dtype, np.asarray(b[name]).dtype)
                np.testing.assert_array_equal(a[name], b[name], err_msg=name)

    def test_tokenize_is_encode(self):
        texts = [text for text, _ in fixture_tasks.PAIRS]
        ours = fixture_tasks.vocabulary()
        for vocabulary in (ours, ours.as_seqio(), seqio.ByteVocabulary()):
            rows = text_source.tokenize(vocabulary, texts)
            self.assertEqual(rows.values.dtype, np.int32)
            for i, text in enumerate(texts):
                row = rows.values[rows.row_splits[i] : rows.row_splits[i + 1]]
                self.assertEqual(row.tolist(), list(vocabulary.encode(text)))

    def test_tokenize_nothing(self):
        for vocabulary in (fixture_tasks.vocabulary(), seqio.ByteVocabulary()):
            rows = text_source.tokenize(vocabulary, [])
            self.assertEmpty(rows)
            self.assertEqual((rows.values.dtype, rows.values.shape), (np.int32, (0,)))

    def test_splits_are_loaded_once_and_when_used(self):
        loads = []

        def load(split):
            loads.append(split)
            return file_task.Examples([split], ["x"])

        source = text_source.TextSource(load, ["train", "test"], fixture_tasks.vocabulary())
        self.assertEmpty(loads)
        for _ in range(2):
            self.assertEqual(source.num_input_examples("test"), 1)
            self.assertLen(source.tokens("test")["inputs"], 1)
        self.assertEqual(loads, ["test"])

    def test_unknown_split(self):
        source = fixture_tasks.register_ours().source
        with self.assertRaisesRegex(ValueError, "no split 'trian'.*Did you mean 'train'"):
            source.tokens("trian")

    def test_shuffle_permutes_by_seed(self):
        pairs = [(f"text {i}", "positive") for i in range(50)]
        source = fixture_tasks.register_ours(pairs=pairs).source

        def order(seed):
            dataset = source.get_dataset("train", shuffle=True, seed=seed)
            return [row["inputs_pretokenized"] for row in dataset.as_numpy_iterator()]

        self.assertEqual(order(1), order(1))
        self.assertNotEqual(order(1), order(2))
        self.assertCountEqual(order(1), [text.encode() for text, _ in pairs])

    def test_shards_are_a_partition(self):
        source = fixture_tasks.register_ours().source
        texts = []
        for index in range(3):
            dataset = source.get_dataset(
                "train", shuffle=False, shard_info=seqio.ShardInfo(index, 3)
            )
            texts += [row["inputs_pretokenized"].decode() for row in dataset.as_numpy_iterator()]
        self.assertCountEqual(texts, [text for text, _ in fixture_tasks.PAIRS])

    def test_sst2(self):
        path = shared_data.require(self, "sst2/train.tsv")
        model = shared_data.require(self, "t5_vocab/sentencepiece.model")
        vocabulary = SentencePieceVocabulary(model, extra_ids=100)
        row_format = file_task.RowFormat(label_words=fixture_tasks.LABELS)
        vocabulary.load_model()
        started = time.process_time()
        examples = file_task.read_examples(path, row_format)
        read = time.process_time()
        rows = text_source.tokenize(vocabulary, examples.inputs)
        done = time.process_time()
        n = len(examples)
        print(
            f"SST-2: {n} rows; per CPU-second {n / (read - started):,.0f} rows read, "
            f"{n / (done - read):,.0f} tokenised, {n / (done - started):,.0f} both"
        )
        self.assertLen(rows, 67349)
        plain = seqio.SentencePieceVocabulary(model, extra_ids=100)
        for i in range(0, n, 97):
            row = rows.values[rows.row_splits[i] : rows.row_splits[i + 1]]
            self.assertEqual(row.tolist(), plain.encode(examples.inputs[i]))


if __name__ == "__main__":
    absltest.main()
