# SPDX-License-Identifier: Apache-2.0
import numpy as np
import seqio
import tensorflow as tf
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.data import token_rows

_ROWS = st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=6)


def _token_rows(rows: list[list[int]]) -> token_rows.TokenRows:
    return token_rows.TokenRows(
        np.array(sum(rows, []), np.int32), np.cumsum([0, *map(len, rows)], dtype=np.int64)
    )


class TokenRowsTest(parameterized.TestCase):
    @settings(max_examples=100, deadline=None)
    @given(rows=_ROWS, length=st.integers(1, 8), eos=st.booleans(), data=st.data())
    def test_padded_is_trim_then_eos_then_pad(self, rows, length, eos, data):
        chosen = data.draw(st.lists(st.integers(-1, len(rows) - 1), max_size=5))
        expected = []
        for i in chosen:
            row = [] if i < 0 else rows[i][: length - eos] + [1] * eos
            expected.append(row + [0] * (length - len(row)))
        got = _token_rows(rows).padded(np.array(chosen, np.int64), length, 1 if eos else None)
        self.assertEqual(got.dtype, np.int32)
        self.assertLessEqual(got.shape[1], length)
        np.testing.assert_array_equal(
            token_rows.to_width(got, length), np.array(expected).reshape(-1, length)
        )

    def test_length(self):
        self.assertLen(_token_rows([[1], [], [2, 3]]), 3)

    def test_model_features_are_seqios(self):
        random = np.random.default_rng(0)
        rows = [random.integers(0, 9, n).tolist() for n in random.integers(0, 10, 40)]
        lengths = {"inputs": 9, "targets": 5}
        inputs = _token_rows(rows).padded(np.arange(len(rows)), 9)
        targets = _token_rows([row[:5] for row in rows]).padded(np.arange(len(rows)), 5)
        examples = [{"inputs": row, "targets": row[:5]} for row in rows]
        dataset = tf.data.Dataset.from_generator(
            lambda: iter(examples),
            output_signature={k: tf.TensorSpec([None], tf.int32) for k in lengths},
        )
        converter = seqio.EncDecFeatureConverter(pack=False)
        expected = next(converter(dataset, lengths).batch(len(rows)).as_numpy_iterator())
        got = token_rows.bucketed_features(inputs, targets, lengths)
        self.assertEqual(set(got), set(expected))
        for name in expected:
            self.assertEqual(got[name].dtype, expected[name].dtype)
            np.testing.assert_array_equal(got[name], expected[name], err_msg=name)

    def test_buckets_cut_padding_alone(self):
        inputs = np.zeros((2, 12), np.int32)
        inputs[1, :5] = 7
        targets = np.array([[4, 1, 0, 0], [1, 0, 0, 0]], np.int32)
        lengths = {"inputs": 12, "targets": 4}
        full = token_rows.bucketed_features(inputs, targets, lengths)
        cut = token_rows.bucketed_features(
            inputs, targets, lengths, {"inputs": (4, 8), "targets": (2, 4)}
        )
        self.assertEqual(cut["encoder_input_tokens"].shape, (2, 8))
        self.assertEqual(cut["decoder_target_tokens"].shape, (2, 2))
        for name, array in cut.items():
            np.testing.assert_array_equal(array, full[name][:, : array.shape[1]])
        self.assertEqual(cut["decoder_loss_weights"].sum(), full["decoder_loss_weights"].sum())

    @parameterized.parameters(
        (3, (4, 8), 4), (4, (4, 8), 4), (5, (8, 4), 8), (9, (4, 8), 20), (3, None, 20),
        (3, (64,), 20), (0, (4,), 4),
    )  # fmt: skip
    def test_bucket_width(self, longest, buckets, expected):
        self.assertEqual(token_rows.bucket_width(longest, 20, buckets), expected)

    @parameterized.parameters((100, (16, 32, 64, 100)), (16, (16,)), (8, (8,)), (17, (16, 17)))
    def test_geometric_buckets(self, length, expected):
        self.assertEqual(token_rows.geometric_buckets(length), expected)

    def test_used_width(self):
        self.assertEqual(token_rows.used_width(np.array([[1, 0, 0], [1, 0, 2]])), 3)
        self.assertEqual(token_rows.used_width(np.array([[1, 0, 0], [1, 0, 0]])), 1)
        self.assertEqual(token_rows.used_width(np.zeros((2, 3), np.int32)), 0)


if __name__ == "__main__":
    absltest.main()
