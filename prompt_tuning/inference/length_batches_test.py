# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.inference import length_batches


class UsableBucketsTest(parameterized.TestCase):
    @parameterized.parameters(
        ((16, 32, 64), 64, (16, 32, 64)),
        ((16, 32, 64), 40, (16, 32, 40)),
        ((64, 16, 16), 100, (16, 64, 100)),
        ((16,), 8, (8,)),
        ((), 8, (8,)),
    )
    def test_ends_with_the_largest_length(self, buckets, max_length, expected):
        self.assertEqual(length_batches.usable_buckets(buckets, max_length), expected)

    @parameterized.parameters(((0, 8), 8), ((8,), 0), ((-1,), 8))
    def test_lengths_must_be_positive(self, buckets, max_length):
        with self.assertRaisesRegex(ValueError, "positive.*length_buckets"):
            length_batches.usable_buckets(buckets, max_length)


class PlanTest(absltest.TestCase):
    def test_example(self):
        first, second = length_batches.plan(np.array([9, 2, 16, 3, 4]), 3, (4, 16))
        np.testing.assert_array_equal(first.rows, [1, 3, 4])
        self.assertEqual((first.size, first.width), (3, 4))
        np.testing.assert_array_equal(second.rows, [0, 2, 0])
        self.assertEqual((second.size, second.width), (2, 16))

    def test_a_row_alone_is_not_padded(self):
        (batch,) = length_batches.plan(np.array([3]), 32, (4, 16))
        np.testing.assert_array_equal(batch.rows, [0])
        self.assertEqual((batch.size, batch.width), (1, 4))

    def test_no_rows(self):
        self.assertEqual(length_batches.plan(np.zeros(0, int), 3, (4,)), [])

    @settings(max_examples=100, deadline=None)
    @given(
        lengths=st.lists(st.integers(0, 50), max_size=40),
        batch_size=st.integers(1, 9),
        buckets=st.sets(st.integers(1, 49), max_size=4),
    )
    def test_every_row_once_in_a_bucket_that_holds_it(self, lengths, batch_size, buckets):
        lengths = np.array(lengths, int)
        usable = length_batches.usable_buckets(tuple(buckets), 50)
        batches = length_batches.plan(lengths, batch_size, usable)
        self.assertLen(batches, math.ceil(len(lengths) / batch_size))
        rows = [row for batch in batches for row in batch.rows[: batch.size]]
        self.assertEqual(sorted(rows), list(range(len(lengths))))
        for batch in batches:
            self.assertLen(batch.rows, 1 if len(lengths) == 1 else batch_size)
            longest = lengths[batch.rows].max()
            self.assertEqual(batch.width, min(b for b in usable if b >= longest))


if __name__ == "__main__":
    absltest.main()
