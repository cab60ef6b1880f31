# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import frozen_weights, layer_stack

_KERNEL = np.random.RandomState(0).normal(size=(16, 5)).astype(np.float32) * [1, 10, 0, 1, 1e-3]
_KERNEL = _KERNEL.astype(np.float32)
NAME = "encoder/layers_{}/mlp/wo/kernel"


class QuantizedMatrixTest(parameterized.TestCase):
    def test_the_scheme(self):
        found = frozen_weights.quantize(np.float32([[1, -3], [-2, 0.51]]), axis=0)
        np.testing.assert_array_equal(found.scale, np.float32([[2 / 127, 3 / 127]]))
        np.testing.assert_array_equal(found.values, [[64, -127], [-127, 22]])
        self.assertEqual(found.values.dtype, np.int8)

    @parameterized.parameters(0, 1)
    def test_error_of_a_weight_is_at_most_half_a_scale(self, axis):
        found = frozen_weights.quantize(_KERNEL, axis)
        error = np.abs(frozen_weights.widen(found) - _KERNEL)
        self.assertTrue((error <= found.scale * 0.5000001).all())
        self.assertGreater(error.max(), 0)
        self.assertTrue(np.isfinite(found.scale).all())

    def test_numpy_and_jax_give_the_same(self):
        jax.tree.map(
            np.testing.assert_array_equal,
            frozen_weights.quantize(jnp.asarray(_KERNEL), 0),
            frozen_weights.quantize(_KERNEL, 0),
        )

    @parameterized.parameters("float32", "bfloat16")
    def test_product_is_that_of_the_widened_matrix(self, dtype):
        x = np.random.RandomState(1).normal(size=(2, 3, 16)).astype(dtype)
        found = frozen_weights.quantize(_KERNEL, 0)
        got = frozen_weights.product(x, found, dtype)
        self.assertEqual(got.dtype, dtype)
        expected = x.astype(np.float32) @ frozen_weights.widen(found)
        tolerance = 1e-5 if dtype == "float32" else 2e-2
        np.testing.assert_allclose(
            got.astype(np.float32), expected, atol=tolerance * np.abs(expected).max()
        )

    def test_rows_of_a_bfloat16_table_and_their_gradient(self):
        table = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.bfloat16)
        tokens = jnp.array([[4, 0, 4], [1, 5, -6]])
        found = frozen_weights.rows(table, tokens)
        self.assertEqual(found.dtype, jnp.bfloat16)
        expected = jnp.take(table, tokens, axis=0, mode="fill")
        np.testing.assert_array_equal(found.astype("float32"), expected.astype("float32"))
        self.assertTrue(np.isnan(np.asarray(found[1, 1:], "float32")).all())

        def loss(rows):
            return lambda table: jnp.sum(rows(table, tokens[:1]).astype("float32") ** 2)

        got = jax.grad(loss(frozen_weights.rows))(table)
        wanted = jax.grad(loss(lambda t, i: jnp.take(t, i, axis=0)))(table)
        np.testing.assert_array_equal(got.astype("float32"), wanted.astype("float32"))

    def test_rows_of_a_table(self):
        table = frozen_weights.quantize(_KERNEL, 1)
        tokens = np.array([[0, 15], [3, 16]])
        got = frozen_weights.rows(table, tokens)
        np.testing.assert_array_equal(got[0, 1], frozen_weights.widen(table)[15])
        self.assertTrue(np.isnan(got[1, 1]).all())
        self.assertTrue(np.isfinite(got[1, 0]).all())


class StoreTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.params = {
            "token_embedder/embedding": _KERNEL,
            "encoder/relpos_bias/rel_embedding": _KERNEL,
            "encoder/layers_0/pre_mlp_layer_norm/scale": _KERNEL[0],
            "encoder/prompt/prompt/prompt": _KERNEL,
            "encoder/prompt/prompt/task_prompts/embedding": _KERNEL,
            NAME.format(0): _KERNEL,
            NAME.format(1): 2 * _KERNEL,
        }

    @parameterized.parameters("bfloat16", "int8")
    def test_only_matrices_are_narrowed(self, dtype):
        found = frozen_weights.store(self.params, dtype)
        narrowed = {name for name, value in found.items() if value is not self.params[name]}
        self.assertEqual(narrowed, {"token_embedder/embedding", NAME.format(0), NAME.format(1)})
        dtypes = {jax.tree.leaves(found[name])[0].dtype.name for name in narrowed}
        self.assertEqual(dtypes, {dtype})

    def test_shapes_are_those_of_the_arrays(self):
        shapes = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, self.params))
        found = layer_stack.stack(frozen_weights.store(shapes, "int8"))
        arrays = layer_stack.stack(frozen_weights.store(self.params, "int8"))
        self.assertEqual(found["encoder/layers/mlp/wo/kernel"].scale.shape, (2, 1, 5))
        jax.tree.map(
            lambda a, b: self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype)), found, arrays
        )

    def test_back_to_float32_layers(self):
        stored = layer_stack.stack(frozen_weights.store(self.params, "int8"))
        back = frozen_weights.restore(layer_stack.unstack(stored))
        self.assertCountEqual(back, self.params)
        for name, value in self.params.items():
            self.assertEqual(back[name].dtype, np.float32)
            np.testing.assert_allclose(back[name], value, atol=np.abs(value).max() / 250)


if __name__ == "__main__":
    absltest.main()
