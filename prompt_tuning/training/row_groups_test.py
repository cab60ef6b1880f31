# SPDX-License-Identifier: Apache-2.0
"""Tests of groups: every row once, shortest first, nothing but padding cut."""

import hypothesis
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from prompt_tuning.training import row_groups

_WIDTHS = {"encoder": (2, 4, 8), "decoder": (1, 2)}
_WIDE = {"encoder": (20, 100, 400), "decoder": (8,)}


def _tokens(lengths, width):
    columns = np.arange(width)[None, :]
    return np.where(columns < np.array(lengths)[:, None], columns + 1, 0).astype(np.int32)


def _batch(inputs, targets, width=9):
    """Rows of these lengths; the first input token of row i is 100 + i."""
    encoder = _tokens(inputs, width)
    encoder[:, 0] = np.where(np.array(inputs) > 0, 100 + np.arange(len(inputs)), 0)
    decoder = _tokens(targets, 3)
    return {
        "encoder_input_tokens": encoder,
        "decoder_input_tokens": np.pad(decoder[:, :-1], ((0, 0), (1, 0))),
        "decoder_target_tokens": decoder,
        "decoder_loss_weights": (decoder > 0).astype(np.int32),
        "is_correct": np.arange(len(inputs)),
    }


class RowGroupsTest(parameterized.TestCase):
    def test_like_lengths_stand_together_and_are_as_narrow_as_their_bucket(self):
        batch = _batch([8, 1, 3, 2], [1, 2, 2, 1])
        short, long = row_groups.RowGroups(2, _WIDTHS).divide(batch)
        self.assertEqual(short["encoder_input_tokens"].tolist(), [[101, 0], [103, 2]])
        self.assertEqual(short["decoder_target_tokens"].tolist(), [[1, 2], [1, 0]])
        self.assertEqual(short["is_correct"].tolist(), [1, 3])
        self.assertEqual(long["encoder_input_tokens"].shape, (2, 8))

    def test_rows_beyond_the_widest_bucket_keep_every_column(self):
        groups = row_groups.RowGroups(1, _WIDTHS).divide(_batch([9, 1], [3, 1]))
        shapes = [group["encoder_input_tokens"].shape[1] for group in groups]
        self.assertEqual(shapes, [2, 9])
        self.assertEqual(groups[1]["decoder_target_tokens"].shape[1], 3)

    @parameterized.parameters((4, 8, 1), (8, 8, 1), (12, 8, 2), (32, 8, 4), (31, 8, 1), (10, 4, 5))
    def test_number_of_groups(self, rows, most, count):
        batch = _batch([1] * rows, [1] * rows)
        groups = row_groups.RowGroups(most, _WIDTHS, full_width=0).divide(batch)
        self.assertLen(groups, count)
        self.assertLen({len(group["is_correct"]) for group in groups}, 1)

    # 8 rows of 128 tokens are 1,024: 44 rows of 20 + 3, of which 32 are taken, but 9 of 100 + 3.
    @parameterized.parameters(
        ([20] * 32, [32]),
        ([20] * 48, [32, 16]),
        ([20] * 20 + [90] * 20, [16, 8, 8, 8]),
        ([20] * 24 + [90] * 8, [24, 8]),
        ([101] * 16, [8, 8]),
    )
    def test_narrow_groups_of_one_shape_are_one(self, inputs, expected):
        groups = row_groups.RowGroups(8, _WIDE).divide(_batch(inputs, [1] * len(inputs), width=110))
        self.assertEqual([len(group["is_correct"]) for group in groups], expected)
        together = np.concatenate([group["is_correct"] for group in groups])
        self.assertCountEqual(together.tolist(), range(len(inputs)))

    @parameterized.parameters((19, [2, 2]), (20, [4]))
    def test_columns_beyond_the_widest_bucket_count(self, full_width, expected):
        """4 rows of 9 + 1 tokens are as many as 2 of 20."""
        divided = row_groups.RowGroups(2, _WIDTHS, full_width).divide(_batch([9] * 4, [1] * 4))
        self.assertEqual([len(group["is_correct"]) for group in divided], expected)

    @parameterized.parameters((69, [2, 2]), (70, [4]))
    def test_all_candidates_of_a_row_count(self, full_width, expected):
        """What models of labels read is not cut; 4 rows of 5 * (4 + 3) are as many as 2 of 70."""
        batch = {
            "encoder_input_tokens": np.ones((4, 5, 4), np.int32),
            "decoder_target_tokens": np.ones((4, 5, 3), np.int32),
            "decoder_loss_weights": np.ones((4, 5, 3), np.int32),
            "is_correct": np.arange(20).reshape(4, 5),
        }
        divided = row_groups.RowGroups(2, _WIDTHS, full_width).divide(batch)
        self.assertEqual([len(group["is_correct"]) for group in divided], expected)
        together = np.concatenate([group["is_correct"] for group in divided])
        np.testing.assert_array_equal(together, batch["is_correct"])

    def test_a_batch_that_is_not_divided_is_the_batch(self):
        batch = _batch([1, 1], [1, 1])
        self.assertIs(row_groups.RowGroups(8, _WIDTHS).divide(batch)[0], batch)

    def test_targets_that_all_count_are_not_cut(self):
        """Without weights a loss has a term for every position, padding included."""
        batch = _batch([8, 1], [1, 2])
        del batch["decoder_loss_weights"]
        self.assertIs(row_groups.RowGroups(1, _WIDTHS).divide(batch)[0], batch)

    @hypothesis.given(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=24),
        st.integers(1, 6),
    )
    def test_every_row_is_in_one_group_and_loses_only_zeros(self, lengths, most):
        batch = _batch(*zip(*lengths, strict=True))
        seen = []
        for group in row_groups.RowGroups(most, _WIDTHS).divide(batch):
            self.assertEqual(set(group), set(batch))
            for name, value in group.items():
                whole = batch[name][group["is_correct"]]
                if name == "decoder_input_tokens":
                    whole = whole[:, : value.shape[1]]
                elif value.ndim == 2:
                    missing = whole.shape[1] - value.shape[1]
                    value = np.pad(value, ((0, 0), (0, missing)))
                np.testing.assert_array_equal(value, whole, err_msg=name)
            seen += group["is_correct"].tolist()
        self.assertEqual(sorted(seen), list(range(len(lengths))))


if __name__ == "__main__":
    absltest.main()
