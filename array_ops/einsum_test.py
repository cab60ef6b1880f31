# SPDX-License-Identifier: Apache-2.0

import contextlib
import functools
import io

import jax
import jax.ad_checkpoint
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from array_ops import einsum, onednn

# The products of T5's attention and layers, and what their gradients are made of.
_PRODUCTS = (
    ("bqh,hf->bqf", (2, 90, 96), (96, 80)),
    ("bqnd,bknd->bnqk", (2, 70, 3, 40), (2, 90, 3, 40)),
    ("bnqk,bknd->bqnd", (2, 3, 70, 90), (2, 90, 3, 40)),
    ("brh,bkh->brk", (2, 70, 96), (2, 90, 96)),
    ("brk,bkh->brh", (2, 70, 90), (2, 90, 96)),
    ("bqnd,hnd->bnqh", (2, 70, 3, 40), (96, 3, 40)),
    ("bnqh,hnd->bqnd", (2, 3, 70, 96), (96, 3, 40)),
)
# Of the largest: sums of at most 180 rounded products in float32; bfloat16 has 8 bits.
_TOLERANCE = {"float32": 2e-6, "bfloat16": 5e-3}


def _normal(seed, shape, dtype="float32"):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), jnp.dtype(dtype))


class OneDnnTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not onednn.types():
            self.skipTest("there is no compiled module here, or no AVX-512")


class EinsumTest(OneDnnTestCase):
    @parameterized.product(product=_PRODUCTS, dtype=("float32", "bfloat16"))
    def test_values_and_gradients_are_those_of_numpy_in_float64(self, product, dtype):
        if dtype not in onednn.types():
            self.skipTest("the processor has no bfloat16 units")
        subscripts, a_shape, b_shape = product
        inputs, _, result = subscripts.partition("->")
        first, _, second = inputs.partition(",")
        a, b = _normal(0, a_shape, dtype), _normal(1, b_shape, dtype)
        wide_a, wide_b = a.astype("float64"), b.astype("float64")
        expected = np.einsum(subscripts, wide_a, wide_b)
        gradient = _normal(2, expected.shape, dtype)
        wide = gradient.astype("float64")

        @jax.jit
        def ours(a, b, gradient):
            out, pull = jax.vjp(lambda a, b: einsum.einsum(subscripts, a, b), a, b)
            return out, *pull(gradient)

        text = ours.lower(a, b, gradient).as_text()
        # The gradient of `hnd` sums over axes that lie apart: not one product.
        count = 2 if "hnd" in inputs else 3
        self.assertEqual(text.count("custom_call @soft_prompts_product"), count)
        exact = (
            expected,
            np.einsum(f"{result},{second}->{first}", wide, wide_b),
            np.einsum(f"{result},{first}->{second}", wide, wide_a),
        )
        for one, other in zip(ours(a, b, gradient), exact, strict=True):
            self.assertEqual(one.dtype, dtype)
            difference = np.abs(np.asarray(one, "float64") - other).max()
            self.assertLess(difference / np.abs(other).max(), _TOLERANCE[dtype])

    @parameterized.parameters(jax.jit, jax.checkpoint)
    def test_one_traced_function_with_gradients_of_different_arguments(self, traced):
        """As equal layers are: of the first only the kernel trains, of the second what it reads."""
        a, b, c = (_normal(i, (128, 128)) for i in range(3))
        product = traced(lambda a, b: einsum.einsum("ab,bc->ac", a, b))
        weights = _normal(3, (128, 128))

        def loss(b, c):
            return jnp.sum(weights * product(product(a, b), c))

        expected = {0: a.T @ weights @ c.T, 1: (a @ b).T @ weights}
        for arguments in ((0,), (1,), (0, 1)):
            found = jax.jit(jax.grad(loss, argnums=arguments))(b, c)
            for argument, one in zip(arguments, found, strict=True):
                np.testing.assert_allclose(one, expected[argument], rtol=1e-3, atol=1e-2)

    def test_the_gradient_of_what_is_not_used_is_zero(self):
        a, b = _normal(0, (130, 96)), _normal(1, (96, 110))

        @jax.checkpoint
        def both(a, b):
            return einsum.einsum("ab,bc->ac", a, b), 2 * a

        def scanned(a, b):
            step = jax.lax.scan(lambda carry, _: (both(carry, b)[1], both(carry, b)[0]), a, None, 2)
            return jnp.sum(step[0])

        for function, of_a in ((lambda a, b: jnp.sum(both(a, b)[1]), 2), (scanned, 4)):
            found = jax.grad(function, argnums=(0, 1))(a, b)
            np.testing.assert_array_equal(found[0], np.full_like(a, of_a))
            np.testing.assert_array_equal(found[1], np.zeros_like(b))

    def test_an_ellipsis_is_the_leading_axes(self):
        a, b = _normal(0, (2, 3, 40, 96)), _normal(1, (96, 80))
        found = einsum.einsum("...h,hf->...f", jnp.asarray(a), jnp.asarray(b))
        np.testing.assert_allclose(found, np.dot(a, b), rtol=0, atol=1e-4)

    def test_a_small_product_and_one_of_two_dtypes_are_xla_s(self):
        for a, b in (
            (_normal(0, (4, 8)), _normal(1, (8, 4))),
            (_normal(0, (512, 512), "bfloat16"), _normal(1, (512, 512))),
        ):
            text = jax.jit(lambda a, b: einsum.einsum("ab,bc->ac", a, b)).lower(a, b).as_text()
            self.assertNotIn("soft_prompts_product", text)

    @parameterized.parameters((100, 50), (50, 100))
    def test_shapes_that_do_not_fit_are_an_error(self, depth, other):
        """One reads less than there is, the other would read more."""
        a, b = jnp.ones((60, depth)), jnp.ones((other, 400))
        with self.assertRaisesRegex(ValueError, "does not match"):
            einsum.einsum("...h,hf->...f", a, b)
        with self.assertRaisesRegex(ValueError, "does not match"):
            einsum.times_narrow(a, b.astype("bfloat16"))

    @parameterized.parameters(
        ("ab,ab->", (1200, 1000), (1200, 1000)),
        ("ab,bc", (130, 96), (96, 110)),
        ("ab, bc -> ac", (130, 96), (96, 110)),
        ("aab,bc->ac", (90, 90, 12), (12, 20)),
        ("ab,bc->ac", (1200, 1), (30, 40)),
        ("ab,bc->c", (130, 96), (96, 110)),
        ("ab,bc->bc", (130, 96), (96, 110)),
    )
    def test_what_is_no_product_of_two_matrices(self, subscripts, a_shape, b_shape):
        a, b = jnp.asarray(_normal(0, a_shape)), jnp.asarray(_normal(1, b_shape))

        def both(function):
            out, pull = jax.vjp(lambda a, b: function(subscripts, a, b), a, b)
            return out, *pull(jnp.cos(out))

        for found, expected in zip(both(einsum.einsum), both(jnp.einsum), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)

    def test_under_vmap_and_scan(self):
        a, b = jnp.asarray(_normal(0, (3, 110, 96))), jnp.asarray(_normal(1, (96, 110)))

        def one(a):
            return einsum.einsum("ab,bc->ac", a, b)

        expected = np.einsum("xab,bc->xac", a, b)
        np.testing.assert_allclose(jax.vmap(one)(a), expected, rtol=0, atol=1e-4)
        scanned = jax.lax.scan(lambda carry, x: (carry, one(x)), 0, a)[1]
        np.testing.assert_allclose(scanned, expected, rtol=0, atol=1e-4)

    def test_a_policy_can_save_products_without_a_batch(self):
        a, kernel = jnp.asarray(_normal(0, (2, 70, 96))), jnp.asarray(_normal(1, (96, 80)))
        policy = jax.checkpoint_policies.save_only_these_names(einsum.NAME)

        @functools.partial(jax.checkpoint, policy=policy)
        def function(a):
            projected = einsum.einsum("...h,hf->...f", a, kernel)
            return jnp.sum(jnp.sin(einsum.einsum("bqf,bkf->bqk", projected, projected)))

        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            jax.ad_checkpoint.print_saved_residuals(function, a)
        saved = [line for line in printed.getvalue().splitlines() if "argument" not in line]
        self.assertLen([line for line in saved if line.startswith("f32[2,70,80]")], 1, saved)
        self.assertEmpty([line for line in saved if line.startswith("f32[2,70,70]")], saved)

    def test_many_products_at_once(self):
        """More than a thread's part: rows, and the longest axis before them, are divided."""
        a, b = _normal(0, (37, 70, 90)), _normal(1, (37, 90, 50))
        rows, kernel = _normal(2, (1001, 130)), _normal(3, (130, 170))

        @jax.jit
        def products(a, b, rows, kernel):
            batched = [einsum.einsum("bij,bjk->bik", a + i, b) for i in range(4)]
            return batched, einsum.einsum("rh,hf->rf", rows, kernel)

        batched, flat = products(a, b, rows, kernel)
        for index, one in enumerate(batched):
            expected = np.einsum("bij,bjk->bik", a.astype("float64") + index, b)
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(flat, rows.astype("float64") @ kernel, rtol=0, atol=1e-4)


def _call(a, b, dtype="float32", **attributes):
    """The foreign function itself, for `[4, 6] [6, 5]` unless told."""
    given = {
        "a_dims": (4, 6), "a_strides": (6, 1), "b_dims": (6, 5), "b_strides": (5, 1),
        "out_dims": (4, 5), "out_strides": (5, 1),
    } | attributes  # fmt: skip
    call = jax.ffi.ffi_call("soft_prompts_product", jax.ShapeDtypeStruct((4, 5), dtype))
    return call(a, b, **{name: np.asarray(value, np.int64) for name, value in given.items()})


class RefusalTest(OneDnnTestCase):
    """What no plan asks for is an error of the call, not a read beyond an array."""

    def test_what_fits_is_computed(self):
        a, b = _normal(0, (4, 6)), _normal(1, (6, 5))
        np.testing.assert_allclose(_call(a, b), a @ b, rtol=0, atol=1e-5)

    @parameterized.parameters(
        ({"a_dims": (5, 6), "out_dims": (5, 5)}, "a has dims .5, 6. .*no further than its 24"),
        ({"a_strides": (6, 2)}, "a has dims .* strides .6, 2.; .* 24 elements"),
        ({"b_strides": (-5, 1)}, "b has dims .* strides .-5, 1.; they must be positive"),
        ({"b_strides": (1 << 62, 1)}, "b has dims .* 30 elements"),
        ({"out_strides": (7, 1)}, "out has dims .* 20 elements"),
        ({"a_dims": (0, 6), "out_dims": (0, 5)}, "a has dims .0, 6."),
        ({"a_dims": (4, 6, 1)}, "a has dims .4, 6, 1. .* the same 2 to 12 axes"),
        ({"a_dims": (6,), "a_strides": (1,)}, "the same 2 to 12 axes"),
        ({"b_dims": (5, 5)}, "dims are a .4, 6., b .5, 5., out .4, 5.; they must be"),
        ({"a_dims": (3, 6)}, "dims are a .3, 6., b .6, 5., out .4, 5."),
        ({"b_dims": (1, 6, 5), "b_strides": (30, 5, 1)}, "dims are a .4, 6., b .1, 6, 5."),
    )
    def test_dims_that_do_not_fit(self, attributes, message):
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, message):
            _call(_normal(0, (4, 6)), _normal(1, (6, 5)), **attributes).block_until_ready()

    @parameterized.parameters(
        ("bfloat16", "float32", "float32"),
        ("float32", "float32", "bfloat16"),
        ("float16", "float16", "float16"),
        ("int32", "int32", "int32"),
    )
    def test_dtypes(self, a, b, out):
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, "all bfloat16, or b alone"):
            _call(_normal(0, (4, 6), a), _normal(1, (6, 5), b), out).block_until_ready()

    def test_float32_times_bfloat16_of_another_form(self):
        a, b = _normal(0, (4, 6), "float32"), _normal(1, (6, 5), "bfloat16")
        columns = {"a_strides": (1, 4), "b_strides": (1, 6)}  # Neither's rows are without gaps.
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, "only where the second's"):
            _call(a, b, "float32", **columns).block_until_ready()


class PlanTest(parameterized.TestCase):
    """Plans carried out by NumPy's strides, so that they are checked where oneDNN is not."""

    @parameterized.parameters(*_PRODUCTS, ("ab,cb->ca", (5, 7), (6, 7)))
    def test_a_plan_is_the_einsum(self, subscripts, a_shape, b_shape):
        random = np.random.default_rng(0)
        a, b = random.normal(size=a_shape), random.normal(size=b_shape)
        expected = np.einsum(subscripts, a, b)
        made = einsum.plan(subscripts, a_shape, b_shape)
        left, right = (b, a) if made.swapped else (a, b)

        def view(array, dims, strides):
            pairs = zip(dims, strides, strict=True)
            steps = [0 if dim == 1 else step * array.itemsize for dim, step in pairs]
            return np.lib.stride_tricks.as_strided(array, dims, steps)

        out = np.full(expected.shape, np.nan)
        view(out, made.out_dims, made.out_strides)[...] = view(
            left, made.a_dims, made.a_strides
        ) @ view(right, made.b_dims, made.b_strides)
        np.testing.assert_allclose(out, expected)

    @parameterized.parameters(
        ("abc,dbec->ade", (2, 3, 4), (5, 3, 6, 4)),  # Two sums that lie apart.
        ("ab,b->a", (3, 4), (4,)),  # No columns.
        ("ab,bc->c", (3, 4), (4, 5)),  # A sum of one operand alone.
    )
    def test_what_is_not_one_product_has_no_plan(self, subscripts, a_shape, b_shape):
        self.assertIsNone(einsum.plan(subscripts, a_shape, b_shape))


if __name__ == "__main__":
    absltest.main()
