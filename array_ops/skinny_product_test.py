# SPDX-License-Identifier: Apache-2.0
"""Products of a few rows with a large matrix, as decoding and short targets have them."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from array_ops import einsum, onednn


def _normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _product(subscripts, a, b):
    return np.asarray(jax.jit(lambda a, b: einsum.einsum(subscripts, a, b))(a, b))


class SkinnyProductTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not onednn.types():
            self.skipTest("there is no compiled module here, or no AVX-512")

    # The depth is whole or not, and the columns are one part, several, or end within one; 65 rows
    # are no longer few. The largest product is divided among threads by its columns.
    @parameterized.product(
        rows=(1, 16, 33, 64, 65),
        sizes=((8192, 130), (1040, 1009), (16390, 64), (45, 24000)),
        order=("mk,kn->mn", "km,kn->mn", "mk,nk->mn"),
    )
    def test_values_are_those_of_numpy_in_float64(self, rows, sizes, order):
        depth, columns = sizes
        a, b = _normal(0, (rows, depth)), _normal(1, (depth, columns))
        first, second = order.partition("->")[0].split(",")
        found = _product(order, a if first == "mk" else a.T, b if second == "kn" else b.T)
        exact = a.astype("float64") @ b.astype("float64")
        # Sums of up to 16390 rounded products, relative to the size of the sums.
        self.assertLess(np.abs(found - exact).max() / np.sqrt(depth), 2e-5)

    # Row by row and column by column; 65 rows are no longer few.
    @parameterized.product(
        rows=(1, 7, 16, 48, 65),
        sizes=((1040, 1009), (4099, 512), (45, 24001)),
        order=("mk,kn->mn", "km,kn->mn", "mk,nk->mn"),
    )
    def test_bfloat16(self, rows, sizes, order):
        if "bfloat16" not in onednn.types():
            self.skipTest("the processor has no bfloat16 units")
        depth, columns = sizes
        a, b = (
            _normal(seed, shape).astype(jnp.bfloat16)
            for seed, shape in ((0, (rows, depth)), (1, (depth, columns)))
        )
        first, second = order.partition("->")[0].split(",")
        found = _product(order, a if first == "mk" else a.T, b if second == "kn" else b.T)
        self.assertEqual(found.dtype, jnp.bfloat16)
        exact = a.astype("float64") @ b.astype("float64")
        # The result is rounded to 8 bits, once.
        error = np.abs(found.astype("float64") - exact)
        self.assertLess((error - np.abs(exact) / 256).max() / np.sqrt(depth), 2e-5)

    @parameterized.parameters(1, 5, 40)
    def test_float32_times_bfloat16_of_few_columns(self, columns):
        """As a thread's part of a product may have: oneDNN, which takes the others, has no such one."""
        x, kernel = _normal(0, (16, 70_000)), _normal(1, (70_000, columns)).astype(jnp.bfloat16)
        found = np.asarray(jax.jit(einsum.times_narrow)(x, kernel))
        exact = x.astype("float64") @ kernel.astype("float64")
        self.assertLess(np.abs(found - exact).max() / np.sqrt(70_000), 2e-5)

    @parameterized.parameters((1,), (4, 4), (17,), (8, 8), (65,))
    def test_float32_times_bfloat16_is_as_if_widened(self, *rows):
        x = _normal(0, (*rows, 520))
        kernel = _normal(1, (520, 4097)).astype(jnp.bfloat16)
        wide = kernel.astype("float32")
        call = jax.jit(einsum.times_narrow)
        found, expected = np.asarray(call(x, kernel)), np.asarray(call(x, wide))
        self.assertEqual(found.dtype, np.float32)
        # Sums of 520 products in another order.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1.2e-5 * np.sqrt(520))
        pulled = jax.grad(lambda x, kernel: jnp.sum(call(x, kernel) ** 2), argnums=(0, 1))
        for got, wanted in zip(pulled(x, kernel), pulled(x, wide), strict=True):
            wanted = np.asarray(wanted).astype(got.dtype).astype("float32")
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(
                np.asarray(got, "float32") / scale, wanted / scale, rtol=0, atol=4e-3
            )

    def test_float32_times_bfloat16_does_not_widen_in_memory(self):
        x, kernel = jnp.ones((64, 512)), jnp.ones((512, 8192), jnp.bfloat16)
        pulled = jax.grad(lambda x, kernel: jnp.sum(einsum.times_narrow(x, kernel) ** 2))
        lowered = jax.jit(pulled).lower(x, kernel).as_text()
        self.assertIn("soft_prompts_product", lowered)
        self.assertNotIn("tensor<512x8192xf32>", lowered)

    def test_batches_and_broadcast_axes(self):
        a, b = _normal(0, (5, 2, 12, 130)), _normal(1, (5, 130, 144))
        found = _product("xymk,xkn->xymn", a, b)
        np.testing.assert_allclose(found, np.einsum("xymk,xkn->xymn", a, b), rtol=0, atol=1e-4)

    def test_what_lies_beyond_the_depth_does_not_count(self):
        """The next rows of memory hold NaN; a product of 9 rows reads 16 at most."""
        whole = np.full((3, 9, 90_000), np.nan, "float32")
        whole[1] = 1.0
        found = _product("xmk,xkn->xmn", np.ones((3, 2, 9), "float32"), whole)
        np.testing.assert_array_equal(found[1], np.full((2, 90_000), 9.0))
        self.assertTrue(np.isnan(found[[0, 2]]).all())


if __name__ == "__main__":
    jax.config.update("jax_numpy_rank_promotion", "raise")
    absltest.main()
