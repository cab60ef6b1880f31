# SPDX-License-Identifier: Apache-2.0
"""Rows become the arrays that SeqIO's own preprocessors and converter make of them."""

import itertools
import pathlib

import numpy as np
import seqio
import tensorflow as tf
from absl.testing import absltest, parameterized

from data_ops import vocabulary
from data_ops.features import features_module

_TESTDATA = pathlib.Path(__file__).parents[1] / "tokenizer" / "testdata"
_VOCABULARY = vocabulary.SentencePieceVocabulary(str(_TESTDATA / "tiny.model"))
_TEXTS = (_TESTDATA / "corpus.txt").read_text("utf-8").splitlines()
_WORDS = ["negative", "positive", "not_entailment"]


def _seqio_rows(texts, length, add_eos):
    """[B, length] by SeqIO's tokenize, append_eos_after_trim and trim_and_pad_dataset."""
    plain = seqio.SentencePieceVocabulary(_VOCABULARY.sentencepiece_model_file)
    features = {"targets": seqio.Feature(plain, add_eos=add_eos)}
    dataset = tf.data.Dataset.from_tensor_slices({"targets": texts})
    dataset = seqio.preprocessors.tokenize(dataset, features)
    dataset = seqio.preprocessors.append_eos_after_trim(
        dataset, features, sequence_length={"targets": length}
    )
    dataset = seqio.utils.trim_and_pad_dataset(dataset, {"targets": length})
    return np.stack([row["targets"] for row in dataset.as_numpy_iterator()])


class SeqioTest(parameterized.TestCase):
    @parameterized.product(length=[1, 2, 9, 64], add_eos=[True, False])
    def test_trim_eos_and_pad(self, length, add_eos):
        expected = _seqio_rows(_TEXTS, length, add_eos)
        eos = _VOCABULARY.eos_id if add_eos else None
        rows = _VOCABULARY.tokenizer.encode_batch(_TEXTS)
        padded = features_module.pad_rows(*rows, length, eos=eos)
        np.testing.assert_array_equal(padded, expected)
        np.testing.assert_array_equal(
            _VOCABULARY.tokenizer.encode_padded(_TEXTS, length, eos=eos), expected
        )

    @parameterized.parameters(4, 24, 64)
    def test_decoder_features(self, length):
        targets = _VOCABULARY.tokenizer.encode_padded(_TEXTS, length)
        inputs = np.ones((len(_TEXTS), 3), np.int32)
        dataset = tf.data.Dataset.from_tensor_slices({"inputs": inputs, "targets": targets})
        # The converter wants rows without their padding.
        dataset = dataset.map(lambda row: {k: tf.boolean_mask(v, v > 0) for k, v in row.items()})
        converted = seqio.EncDecFeatureConverter(pack=False)(
            dataset, {"inputs": 3, "targets": length}
        )
        expected = {
            name: np.stack(rows)
            for name, rows in _transposed(converted.as_numpy_iterator()).items()
        }
        decoder_inputs, weights = features_module.decoder_features(targets)
        np.testing.assert_array_equal(targets, expected["decoder_target_tokens"])
        np.testing.assert_array_equal(decoder_inputs, expected["decoder_input_tokens"])
        np.testing.assert_array_equal(weights, expected["decoder_loss_weights"])

    def test_label_words(self):
        labels = np.array([2, 0, 0, 1], np.int64)
        rows = _VOCABULARY.tokenizer.encode_batch(_WORDS)
        taken = features_module.take_rows(*rows, labels)
        np.testing.assert_array_equal(
            features_module.pad_rows(*taken, 8),
            _seqio_rows([_WORDS[label] for label in labels], 8, add_eos=True),
        )

    def test_buckets(self):
        widths = [8, 16, 64]
        lengths = np.diff(_VOCABULARY.tokenizer.encode_batch(_TEXTS)[1])
        buckets = features_module.length_buckets(lengths, widths)
        dataset = tf.data.Dataset.from_tensor_slices(lengths)
        # A row of tf.data's bucket i is below boundary i: one more than the width.
        batched = dataset.bucket_by_sequence_length(
            lambda length: tf.cast(length, tf.int32),
            bucket_boundaries=[width + 1 for width in widths[:-1]],
            bucket_batch_sizes=[len(_TEXTS)] * len(widths),
        )
        expected = sorted(sorted(batch.tolist()) for batch in batched.as_numpy_iterator())
        ours = [sorted(lengths[buckets == i].tolist()) for i in range(len(widths))]
        self.assertEqual(sorted(bucket for bucket in ours if bucket), expected)


class RowsTest(absltest.TestCase):
    def test_split(self):
        values, splits = _VOCABULARY.tokenizer.encode_batch(_TEXTS)
        pieces = features_module.split_rows(values, splits, 7)
        expected = []
        for begin, end in itertools.pairwise(splits.tolist()):
            expected += [[begin_, min(begin_ + 7, end)] for begin_ in range(begin, end, 7)]
        self.assertEqual([list(pair) for pair in itertools.pairwise(pieces.tolist())], expected)

    def test_errors(self):
        values, splits = np.arange(4, dtype=np.int32), np.array([0, 4], np.int64)
        with self.assertRaisesRegex(ValueError, "rise from 0 to the number of values, 4"):
            features_module.pad_rows(values, np.array([0, 5], np.int64), 4)
        with self.assertRaisesRegex(ValueError, "length is 0; it must be at least 1"):
            features_module.pad_rows(values, splits, 0)
        for row in (-2, len(splits) - 1):
            with self.assertRaisesRegex(IndexError, rf"rows\[1\] is {row}; there are rows 0 to"):
                features_module.pad_chosen_rows(values, splits, np.array([0, row]), 4)
        with self.assertRaisesRegex(ValueError, "row_splits must rise from 0 to"):
            features_module.pad_chosen_rows(values, np.array([0, 99], np.int64), np.array([0]), 4)
        with self.assertRaisesRegex(ValueError, "max_size is -1; it must be at least 1"):
            features_module.split_rows(values, splits, -1)
        with self.assertRaisesRegex(IndexError, r"rows\[1\] is 1; there are rows 0 to 0"):
            features_module.take_rows(values, splits, np.array([0, 1], np.int64))
        with self.assertRaisesRegex(ValueError, "targets has 1 dimensions"):
            features_module.decoder_features(values)
        for widths in ([], [8, 4]):
            with self.assertRaisesRegex(ValueError, "widths must be at least one number, in"):
                features_module.length_buckets(splits, widths)


def _transposed(rows):
    rows = list(rows)
    return {name: [row[name] for row in rows] for name in rows[0]}


if __name__ == "__main__":
    absltest.main()
