# SPDX-License-Identifier: Apache-2.0

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from array_ops import attention, onednn

# Of the largest. bfloat16: weights, slopes and results are rounded to 8 bits.
_TOLERANCE = {"float32": 5e-6, "bfloat16": 1.5e-2}
# Of the largest sum of absolute values.
_PART = {"float32": 1.5e-6, "bfloat16": 1e-2}
_NAMES = ("result", "queries", "keys", "values", "bias")


def _normal(seed, shape, dtype="float32"):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), jnp.dtype(dtype))


def _exact(queries, keys, values, bias, gradient):
    """The result and the gradients of queries, keys, values and bias, by NumPy in float64."""
    queries, keys, values, bias, gradient = (
        array.astype("float64") for array in (queries, keys, values, bias, gradient)
    )
    weights = _weights(queries, keys, bias)
    pulled = np.einsum("bqnd,bknd->bnqk", gradient, values)
    slopes = weights * (pulled - (weights * pulled).sum(-1, keepdims=True))
    summed = tuple(axis for axis in (0, 1) if bias.shape[axis] == 1)
    return *_sums(weights, slopes, queries, keys, values, gradient), slopes.sum(
        summed, keepdims=True
    )


def _largest(queries, keys, values, bias, gradient):
    """The largest sum of absolute values in the result and the gradients of all but the bias.

    What rounding is a part of: the sums themselves may be small, those of one number or one key.
    """
    queries, keys, bias = (array.astype("float64") for array in (queries, keys, bias))
    weights = _weights(queries, keys, bias)
    others = [np.abs(array.astype("float64")) for array in (queries, keys, values, gradient)]
    pulled = np.einsum("bqnd,bknd->bnqk", others[3], others[2])
    slopes = weights * (pulled + (weights * pulled).sum(-1, keepdims=True))
    return [array.max() for array in _sums(weights, slopes, *others)]


def _arrays(batch, count, heads, depth, bias, scale, dtype):
    """Queries, keys, values and bias of that dtype, and a gradient of the result."""
    like_queries, like_keys = ((batch, size, heads, depth) for size in (count, bias.shape[-1]))
    queries, gradient = (_normal(seed, like_queries, dtype) for seed in (0, 4))
    keys, values = (_normal(seed, like_keys, dtype) for seed in (1, 2))
    return (queries / np.asarray(scale, dtype), keys, values, bias.astype(dtype)), gradient


def _weights(queries, keys, bias):
    # In float32 nothing is left of what a query that may read nothing had for logits.
    logits = (np.einsum("bqnd,bknd->bnqk", queries, keys) + bias).astype("float32")
    weights = np.exp((logits - logits.max(-1, keepdims=True)).astype("float64"))
    return weights / weights.sum(-1, keepdims=True)


def _sums(weights, slopes, queries, keys, values, gradient):
    return (
        np.einsum("bnqk,bknd->bqnd", weights, values),
        np.einsum("bnqk,bknd->bqnd", slopes, keys),
        np.einsum("bnqk,bqnd->bknd", slopes, queries),
        np.einsum("bnqk,bqnd->bknd", weights, gradient),
    )


class AttendTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not onednn.types():
            self.skipTest("there is no compiled module here, or no AVX-512")

    @parameterized.product(
        case=(
            ((2, 100, 100, 3, 32), (True, True)),
            ((3, 33, 130, 2, 72), (False, True)),
            ((1, 260, 77, 1, 64), (True, False)),
        ),
        dtype=("float32", "bfloat16"),
    )
    def test_values_and_gradients_are_those_of_numpy_in_float64(self, case, dtype):
        if dtype not in onednn.types():
            self.skipTest("the processor has no bfloat16 units")
        (batch, count, width, heads, depth), whole = case
        bias = _normal(3, (batch if whole[0] else 1, heads if whole[1] else 1, count, width))
        bias[..., width // 2 :: 5] = -1e10  # Padding among the keys,
        bias[:, :, 3] = -1e10  # and a query that may read nothing: all alike.
        arrays, gradient = _arrays(batch, count, heads, depth, bias, 8, dtype)

        @jax.jit
        def ours(*arrays):
            out, pull = jax.vjp(attention.attend, *arrays)
            return out, *pull(gradient)

        text = ours.lower(*arrays).as_text()
        self.assertEqual(text.count("custom_call @soft_prompts_attention("), 1)
        self.assertEqual(text.count("custom_call @soft_prompts_attention_gradient("), 1)
        found = ours(*arrays)
        for name, one, other in zip(_NAMES, found, _exact(*arrays, gradient), strict=True):
            self.assertEqual(one.dtype, dtype)
            difference = np.abs(np.asarray(one, "float64") - other).max() / np.abs(other).max()
            self.assertLess(difference, _TOLERANCE[dtype], name)

    @hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
    @hypothesis.given(
        batch=st.integers(1, 3),
        count=st.integers(1, 70),
        width=st.integers(1, 70),
        heads=st.integers(1, 3),
        depth=st.sampled_from((1, 7, 16, 33, 64, 260)),
        whole=st.tuples(st.booleans(), st.booleans()),
        dtype=st.sampled_from(("float32", "bfloat16")),
        seed=st.integers(0, 9),
    )
    def test_any_sizes(self, batch, count, width, heads, depth, whole, dtype, seed):
        """Rows and columns that fill no tile, and queries that may read nothing."""
        if dtype not in onednn.types():
            dtype = "float32"
        bias = _normal(3, (batch if whole[0] else 1, heads if whole[1] else 1, count, width))
        bias[..., seed::3] = -1e10
        bias[:, :, -1] = -1e10
        arrays, gradient = _arrays(batch, count, heads, depth, bias, depth**0.5, dtype)

        @jax.jit
        def ours(*arrays):
            out, pull = jax.vjp(attention._attend, *arrays)
            return out, *pull(gradient)[:3]

        found = ours(*arrays)
        expected, largest = _exact(*arrays, gradient), _largest(*arrays, gradient)
        for name, one, other, unit in zip(_NAMES, found, expected, largest, strict=False):
            difference = np.abs(np.asarray(one, "float64") - other).max()
            self.assertLess(difference, _PART[dtype] * unit, name)

    def test_reference_agrees(self):
        arrays = [_normal(i, (2, 90, 3, 40)) for i in range(3)] + [_normal(3, (1, 3, 90, 90))]
        found = jax.jit(attention.attend)(*arrays)
        expected = jax.jit(attention.reference)(*arrays)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)

    def test_large_logits_and_nan(self):
        """Weights of exactly one and zero; what is not a number stays in its row."""
        x, keys, values = (_normal(i, (1, 128, 1, 64)) for i in range(3))
        x[0, 7, 0, 0] = np.nan
        bias = np.zeros((1, 1, 128, 128), "float32")
        found = np.asarray(jax.jit(attention.attend)(x, 100 * keys, values, bias))
        self.assertTrue(np.isnan(found[0, 7]).all())
        others = np.delete(np.arange(128), 7)
        rest = x[:, others]
        expected = _exact(rest, 100 * keys, values, bias[:, :, others], rest)[0]
        np.testing.assert_allclose(found[:, others], expected, rtol=0, atol=1e-3)

    def test_what_the_function_does_not_take_is_xla_s(self):
        x = _normal(0, (2, 128, 2, 32))
        for bias in (np.float32(0), _normal(1, (1, 2, 1, 128)), _normal(1, (1, 2, 128, 1))):
            bias = jnp.asarray(bias)
            lowered = jax.jit(attention.attend).lower(x, x, x, bias)
            self.assertNotIn("soft_prompts_attention", lowered.as_text())
            np.testing.assert_array_equal(
                lowered.compile()(x, x, x, bias), jax.jit(attention.reference)(x, x, x, bias)
            )

    @parameterized.parameters(
        ({"keys": (2, 9, 2, 4)}, "shapes must be"),
        ({"values": (2, 5, 2, 3)}, "shapes must be"),
        ({"bias": (1, 3, 8, 5)}, "shapes must be"),
        ({"bias": (1, 1, 8, 1)}, "shapes must be"),
        ({"bias": (8, 5)}, "shapes must be"),
        ({"queries": (8, 2, 4)}, "shapes must be"),
        ({"queries": (2, 0, 2, 4)}, "shapes must be"),
        ({"dtype": "float16"}, "all float32 or all bfloat16"),
        ({"bias_dtype": "bfloat16"}, "all float32 or all bfloat16"),
    )
    def test_other_shapes_are_refused(self, given, message):
        dtype = given.get("dtype", "float32")
        shapes = {"queries": (2, 8, 2, 4), "keys": (2, 5, 2, 4), "values": (2, 5, 2, 4)}
        shapes |= {"bias": (1, 1, 8, 5)} | {key: given[key] for key in given if "dtype" not in key}
        dtypes = {"bias": given.get("bias_dtype", dtype)}
        arrays = [_normal(0, shape, dtypes.get(name, dtype)) for name, shape in shapes.items()]
        out = jax.ShapeDtypeStruct((2, 8, 2, 4), dtype)
        call = jax.ffi.ffi_call("soft_prompts_attention", out)
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, message):
            call(*arrays).block_until_ready()
        like = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays[:3]]
        call = jax.ffi.ffi_call("soft_prompts_attention_gradient", like)
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, message):
            call(*arrays, _normal(0, (2, 8, 2, 4), dtype))[0].block_until_ready()


if __name__ == "__main__":
    absltest.main()
