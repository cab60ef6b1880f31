# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from array_ops import onednn, table_rows


def _table(dtype="bfloat16"):
    return jnp.asarray(np.random.default_rng(0).normal(size=(50, 24)), dtype)


class TableRowsTest(parameterized.TestCase):
    @parameterized.product(dtype=("bfloat16", "float32"), shape=((3, 7), (1,), ()))
    def test_rows_are_those_of_numpy(self, dtype, shape):
        table = _table(dtype)
        tokens = np.random.default_rng(1).integers(0, 50, shape, np.int32)
        found = jax.jit(table_rows.take)(table, tokens)
        self.assertEqual(found.dtype, table.dtype)
        np.testing.assert_array_equal(
            np.asarray(found, "float32"), np.asarray(table, "float32")[tokens]
        )

    @parameterized.parameters("bfloat16", "float32")
    def test_ids_beyond_the_table(self, dtype):
        tokens = np.array([49, 50, 2**31 - 1, -1, -50, -51, -(2**31)], np.int32)
        found = np.asarray(table_rows.take(_table(dtype), tokens), "float32")
        table = np.asarray(_table(dtype), "float32")
        np.testing.assert_array_equal(found[[0, 3, 4]], table[[49, 49, 0]])
        self.assertTrue(np.isnan(found[[1, 2, 5, 6]]).all())

    def test_the_table_is_not_copied(self):
        if "bfloat16" not in onednn.types():
            self.skipTest(
                "there is no compiled module here, or the processor has no bfloat16 units"
            )
        lowered = jax.jit(table_rows.take).lower(_table(), np.zeros((2, 3), np.int32)).as_text()
        self.assertIn("soft_prompts_rows", lowered)
        self.assertNotIn("tensor<50x24xui16>", lowered)

    def test_gradient_adds_up_where_a_row_is_taken_twice(self):
        tokens = np.array([[4, 9, 4]], np.int32)
        pulled = jax.grad(lambda table: table_rows.take(table, tokens).astype(jnp.float32).sum())(
            _table()
        )
        expected = np.zeros((50, 24))
        expected[4], expected[9] = 2, 1
        np.testing.assert_array_equal(np.asarray(pulled, "float32"), expected)


if __name__ == "__main__":
    absltest.main()
