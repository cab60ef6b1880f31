# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from array_ops import gated_gelu, onednn

# Relative to the number itself, and to the largest: one rounding of bfloat16, a few of float32.
_TOLERANCE = {"float32": (2e-6, 1e-7), "bfloat16": (4e-3, 1e-6)}


def _normal(seed, shape, dtype="float32"):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), jnp.dtype(dtype))


def _exact(x, y, gradient):
    """The result and both gradients by NumPy in float64."""
    x, y, gradient = (array.astype("float64") for array in (x, y, gradient))
    scale = np.sqrt(2 / np.pi)
    tanh = np.tanh(scale * (x + 0.044715 * x**3))
    half = (1 + tanh) / 2
    slope = half + x / 2 * (1 - tanh**2) * scale * (1 + 3 * 0.044715 * x**2)
    return x * half * y, gradient * y * slope, gradient * x * half


class GateTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not onednn.types():
            self.skipTest("there is no compiled module here, or no AVX-512")

    @parameterized.product(shape=((3, 70, 129), (140001,)), dtype=("float32", "bfloat16"))
    def test_values_and_gradients_are_those_of_numpy_in_float64(self, shape, dtype):
        if dtype not in onednn.types():
            self.skipTest("the processor has no bfloat16 units")
        x, y, gradient = (_normal(seed, shape, dtype) for seed in range(3))
        x = x * np.asarray(2, x.dtype)

        @jax.jit
        def ours(x, y):
            out, pull = jax.vjp(gated_gelu.gate, x, y)
            return out, *pull(gradient)

        self.assertEqual(ours.lower(x, y).as_text().count("custom_call @soft_prompts"), 2)
        relative, absolute = _TOLERANCE[dtype]
        for one, other in zip(ours(x, y), _exact(x, y, gradient), strict=True):
            self.assertEqual(one.dtype, dtype)
            bound = absolute * np.abs(other).max()
            one = np.asarray(one, "float64")
            np.testing.assert_allclose(one, other, rtol=relative, atol=bound)

    def test_reference_agrees(self):
        x, y = _normal(0, (200, 300)), _normal(1, (200, 300))
        found, expected = (
            jax.jit(function)(x, y) for function in (gated_gelu.gate, gated_gelu.reference)
        )
        # XLA's `1 + tanh` loses what is below a rounding of 1.
        bound = 3e-7 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)

    def test_far_numbers(self):
        x = np.resize(np.array([-1e4, -20, -1e-30, 0, 1e-30, 20, 1e4, np.nan], "float32"), 1 << 15)
        found = np.asarray(jax.jit(gated_gelu.gate)(x, np.ones_like(x)))[:8]
        np.testing.assert_allclose(found, [0, 0, -5e-31, 0, 5e-31, 20, 1e4, np.nan], rtol=1e-6)

    def test_under_vmap(self):
        x, y = _normal(0, (4, 100, 200)), _normal(1, (100, 200))
        found = jax.vmap(gated_gelu.gate, in_axes=(0, None))(x, y)
        np.testing.assert_allclose(found, gated_gelu.reference(x, y), rtol=0, atol=5e-6)

    def test_small_arrays_and_others_are_xla_s(self):
        wide = _normal(0, (200, 300))
        for x, y in ((wide[:4], wide[:4]), (wide, wide.astype("float16")), (wide, wide[:1])):
            text = jax.jit(gated_gelu.gate).lower(x, y).as_text()
            self.assertNotIn("custom_call @soft_prompts", text)

    @parameterized.parameters(
        ((4, 6), "float32", (6, 4), "float32"),
        ((4, 6), "float32", (4, 5), "float32"),
        ((4, 6), "float32", (4, 6), "bfloat16"),
        ((4, 6), "float16", (4, 6), "float16"),
    )
    def test_other_arrays_are_refused(self, x_shape, x_dtype, y_shape, y_dtype):
        x, y = _normal(0, x_shape, x_dtype), _normal(1, y_shape, y_dtype)
        like = jax.ShapeDtypeStruct(x.shape, x.dtype)
        forward = jax.ffi.ffi_call("soft_prompts_gated_gelu", like)
        backward = jax.ffi.ffi_call("soft_prompts_gated_gelu_gradient", (like, like))
        message = "all float32 or all bfloat16, and of one shape"
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, message):
            forward(x, y).block_until_ready()
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, message):
            backward(x, x, y)[0].block_until_ready()


if __name__ == "__main__":
    absltest.main()
