# SPDX-License-Identifier: Apache-2.0

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from array_ops import attention, einsum, onednn

_TOLERANCE = {"float32": 2e-6, "bfloat16": 5e-3}


def _normal(seed, shape, dtype="float32"):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), jnp.dtype(dtype))


class FastTypesTest(parameterized.TestCase):
    @parameterized.parameters(
        ("sse4_2 avx2", ()),
        ("avx2 avx512f", ("float32",)),
        ("avx512f avx512_bf16", ("float32", "bfloat16")),
        ("avx512f amx_bf16 avx512_bf16", ("float32", "bfloat16")),
    )
    def test_bfloat16_needs_its_units(self, features, expected):
        self.assertEqual(onednn.fast_types(features.split()), expected)

    def test_float16_and_mixed_dtypes_are_xla_s(self):
        wide, narrow = _normal(0, (4, 4)), _normal(0, (4, 4), "bfloat16")
        half = _normal(0, (4, 4), "float16")
        self.assertFalse(onednn.takes(wide, narrow))
        self.assertFalse(onednn.takes(half, half))


class ElsewhereTest(parameterized.TestCase):
    """A processor without the units, or a build without the module, has XLA's products."""

    @parameterized.parameters("float32", "bfloat16")
    @mock.patch.object(onednn, "types", lambda: ())
    def test_products_are_xla_s(self, dtype):
        a, b = _normal(0, (512, 512), dtype), _normal(1, (512, 512), dtype)
        lowered = jax.jit(lambda a, b: einsum.einsum("ab,bc->ac", a, b)).lower(a, b)
        self.assertNotIn("custom_call @soft_prompts", lowered.as_text())
        found = np.asarray(lowered.compile()(a, b), "float64")
        exact = a.astype("float64") @ b.astype("float64")
        self.assertLess(np.abs(found - exact).max() / np.abs(exact).max(), _TOLERANCE[dtype])

    @mock.patch.object(onednn, "types", lambda: ())
    def test_attention_is_xla_s(self):
        x, bias = _normal(0, (2, 128, 2, 32)), _normal(1, (1, 2, 128, 128))
        text = jax.jit(attention.attend).lower(x, x, x, bias).as_text()
        self.assertNotIn("custom_call @soft_prompts", text)

    @mock.patch.dict("os.environ", {"PROMPT_TUNING_ONEDNN": "0"})
    def test_an_environment_variable_turns_it_off(self):
        self.assertEqual(onednn.types.__wrapped__(), ())


if __name__ == "__main__":
    absltest.main()
