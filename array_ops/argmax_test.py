# SPDX-License-Identifier: Apache-2.0
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from array_ops import argmax


class ArgmaxTest(absltest.TestCase):
    @hypothesis.settings(deadline=None, max_examples=60)
    @hypothesis.given(
        arrays.arrays(
            np.float32,
            # Each shape compiles once.
            strategies.sampled_from([(1,), (40,), (3, 17), (2, 3, 5)]),
            # Few values, so that many are equal; 0 and -0 are.
            elements=strategies.sampled_from([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf]),
        )
    )
    def test_first_of_the_largest(self, x):
        found = argmax.argmax(x)
        self.assertEqual(found.dtype, jnp.int32)
        np.testing.assert_array_equal(found, np.argmax(x, axis=-1))

    def test_logits(self):
        x = np.random.default_rng(0).normal(size=(16, 32128)).astype("float32")
        np.testing.assert_array_equal(jax.jit(argmax.argmax)(x), np.argmax(x, axis=-1))

    def test_bfloat16(self):
        x = jnp.asarray([[1.0, 3.0, 3.0]], jnp.bfloat16)
        np.testing.assert_array_equal(argmax.argmax(x), [1])

    def test_a_row_with_nan_gives_an_index_of_it(self):
        x = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, np.nan]], np.float32)
        found = np.asarray(argmax.argmax(x))
        self.assertTrue(((found >= 0) & (found < 3)).all())


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    absltest.main()
