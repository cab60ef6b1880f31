# SPDX-License-Identifier: Apache-2.0
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies

from array_ops import top_k


class TopKTest(parameterized.TestCase):
    @hypothesis.settings(deadline=None, max_examples=40)
    @hypothesis.given(
        seed=strategies.integers(0, 2**32 - 1),
        k=strategies.sampled_from([1, 2, 8]),
        # Few values, so that many are equal, or almost none.
        values=strategies.sampled_from([2, 7, 10**6]),
        shape=strategies.sampled_from([(1, 8192), (3, 9600), (2, 8200), (2, 128), (4, 50)]),
    )
    def test_as_xla_with_the_first_of_equal_numbers(self, seed, k, values, shape):
        random = np.random.default_rng(seed)
        x = random.integers(0, values, shape).astype("float32")
        x[x == 1] = -np.inf
        found, index = jax.jit(top_k.top_k, static_argnums=1)(x, k)
        expected = np.argsort(-x, axis=-1, kind="stable")[:, :k]
        np.testing.assert_array_equal(index, expected)
        np.testing.assert_array_equal(found, np.take_along_axis(x, expected, axis=-1))
        self.assertEqual((found.dtype, index.dtype), (jnp.float32, jnp.int32))

    @parameterized.parameters("float32", "bfloat16")
    def test_long_rows_are_searched_by_block(self, dtype):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32128)), dtype)
        found, index = top_k.top_k(x, 8)
        expected = jax.lax.top_k(x, 8)
        np.testing.assert_array_equal(found, expected[0])
        np.testing.assert_array_equal(index, expected[1])
        if jax.default_backend() == "cpu":
            text = jax.jit(top_k.top_k, static_argnums=1).lower(x, 8).as_text()
            self.assertNotRegex(text, r"top_k.*tensor<2x32128x")

    def test_no_rows(self):
        values, index = top_k.top_k(np.zeros((0, 8192), "float32"), 2)
        self.assertEqual((values.shape, index.shape), ((0, 2), (0, 2)))

    def test_nan(self):
        x = np.ones((1, 8192), "float32")
        x[0, 5000] = np.nan
        index = np.asarray(top_k.top_k(x, 3)[1])
        self.assertTrue(((index >= 0) & (index < 8192)).all())


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    absltest.main()
