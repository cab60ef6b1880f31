# SPDX-License-Identifier: Apache-2.0
"""Tests of the transposed view of an array."""

import numpy as np
from absl.testing import absltest

from prompt_tuning.checkpoints.lazy_array import InlineArray
from prompt_tuning.checkpoints.transposed_array import TransposedArray

_VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


class TransposedArrayTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.array = TransposedArray("t", InlineArray("w", _VALUES))

    def test_all(self):
        self.assertEqual((self.array.shape, self.array.dtype), ((3, 2), np.float32))
        np.testing.assert_array_equal(self.array.get(), _VALUES.T)
        np.testing.assert_array_equal(self.array.get("float16"), _VALUES.T.astype(np.float16))

    def test_a_part(self):
        part = (slice(1, 3), slice(0, 1))
        np.testing.assert_array_equal(self.array.part(part), _VALUES.T[part])

    def test_places_of_the_flattened_array(self):
        places = np.array([0, 1, 5, 2])
        np.testing.assert_array_equal(self.array.take(places), _VALUES.T.reshape(-1)[places])

    def test_nothing_is_copied(self):
        self.assertTrue(np.shares_memory(self.array.get(), _VALUES))


if __name__ == "__main__":
    absltest.main()
