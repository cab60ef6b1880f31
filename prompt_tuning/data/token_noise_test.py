# SPDX-License-Identifier: Apache-2.0
import numpy as np
import seqio
import tensorflow as tf
from absl.testing import absltest, parameterized

from prompt_tuning.data import fixture_tfds, token_noise

FEATURES = {
    name: seqio.Feature(fixture_tfds.vocabulary().as_seqio()) for name in ("inputs", "targets")
}
LENGTHS = {"inputs": 101, "targets": 101}


def _dataset(tokens, copies: int = 1) -> tf.data.Dataset:
    example = {"targets": tf.constant(tokens, tf.int32)}
    return tf.data.Dataset.from_tensors(example).repeat(copies)


def _rows(dataset: tf.data.Dataset) -> list[dict]:
    return list(dataset.as_numpy_iterator())


class TokenNoiseTest(parameterized.TestCase):
    def test_sentinels(self):
        (got,) = _rows(token_noise.add_sentinel_to_targets(_dataset([5, 6]), FEATURES))
        self.assertEqual(got["targets"].tolist(), [419, 5, 6])
        dataset = _dataset([]).map(lambda e: {**e, "inputs": tf.constant([7])})
        (got,) = _rows(token_noise.add_sentinel_to_beginning(dataset, FEATURES, "inputs", 3))
        self.assertEqual((got["inputs"].tolist(), got["targets"].tolist()), ([416, 7], []))

    @parameterized.product(length=(1, 2, 3, 10, 100, 517), span=(1, 3, 10), density=(0.15, 0.5))
    def test_span_mask(self, length, span, density):
        mask = token_noise.random_spans_noise_mask(
            length, tf.constant([3, length]), density, span
        ).numpy()
        self.assertLen(mask, length)
        if length == 1:
            return
        noise = min(max(round(np.float32(length) * np.float32(density)), 1), length - 1)
        self.assertEqual(mask.sum(), noise)
        spans = min(max(round(noise / span), 1), length - noise)
        self.assertEqual((np.diff(np.pad(mask, 1).astype(int)) == 1).sum(), spans)
        self.assertFalse(mask[0])

    def test_span_mask_depends_on_the_seed(self):
        masks = {
            token_noise.random_spans_noise_mask(50, tf.constant([0, i]), 0.3, 3).numpy().tobytes()
            for i in range(20)
        }
        self.assertGreater(len(masks), 15)

    def test_token_deletion_deletes_its_share(self):
        tokens = np.arange(10, 110)
        with seqio.utils.map_seed_manager(0):
            rows = _rows(token_noise.token_deletion(_dataset(tokens, 50), LENGTHS, FEATURES))
        kept = np.mean([len(row["inputs"]) for row in rows])
        self.assertBetween(kept, 82, 88)
        for row in rows:
            self.assertEqual(row["targets"].tolist(), tokens.tolist())
            self.assertTrue(np.all(np.diff(row["inputs"]) > 0))

    def test_text_infilling(self):
        with seqio.utils.map_seed_manager(0):
            (row,) = _rows(token_noise.text_infilling(_dataset(range(10, 110)), LENGTHS, FEATURES))
        sentinels = row["inputs"][row["inputs"] >= 320]
        self.assertEqual(sentinels.tolist(), [419, 418, 417, 416, 415])
        self.assertLen(row["inputs"], 85 + 5)
        self.assertEqual(row["targets"].tolist(), list(range(10, 110)))

    def test_prefix_lm(self):
        with seqio.utils.map_seed_manager(0):
            rows = _rows(token_noise.prefix_lm(_dataset(range(10, 30), 40), LENGTHS, FEATURES))
        lengths = {len(row["inputs"]) for row in rows}
        for row in rows:
            self.assertEqual([*row["inputs"], *row["targets"]], list(range(10, 30)))
        self.assertGreater(len(lengths), 8)
        self.assertBetween(min(lengths), 1, 19)
        self.assertBetween(max(lengths), 1, 19)

    def test_long_texts_become_pieces(self):
        lengths = {"inputs": 33, "targets": 33}
        with seqio.utils.map_seed_manager(0):
            rows = _rows(token_noise.token_deletion(_dataset(range(100)), lengths, FEATURES))
        self.assertEqual([len(row["targets"]) for row in rows], [32, 32, 32, 4])

    @parameterized.parameters((None, 0.5), ((0.9,), 0.9), ((0.25, 0.75), 0.25))
    def test_random_targets(self, probs, expected):
        dataset = token_noise.random_targets(
            _dataset([1], 4000), FEATURES, ["a b", "c"], probs, seed=1
        )
        first = fixture_tfds.vocabulary().encode("a b")
        share = np.mean([row["targets"].tolist() == first for row in _rows(dataset)])
        self.assertAlmostEqual(share, expected, delta=0.03)

    @parameterized.parameters(
        ((0.1, 0.2, 0.7), "3 probabilities for 2"), ((1.5,), "above 0 and at most 1"),
        ((-0.1, 1.1), "above 0"), ((0.0, 1.0), "instead of giving it 0"), ((0.2, 0.2), "sum to 1"),
    )  # fmt: skip
    def test_wrong_probabilities(self, probs, message):
        with self.assertRaisesRegex(ValueError, message):
            token_noise.random_targets(_dataset([1]), FEATURES, ["a", "b"], probs)


if __name__ == "__main__":
    absltest.main()
