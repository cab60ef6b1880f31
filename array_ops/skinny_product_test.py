# SPDX-License-Identifier: Apache-2.0
"""Float32 products of a few rows with a large matrix, as decoding has them."""

import jax
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

    # The depth is whole or not, and the columns are one part, several, or end within one; 33 rows
    # are no longer few. The largest product is divided among threads by its columns.
    @parameterized.product(
        rows=(1, 7, 16, 32, 33),
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
