# SPDX-License-Identifier: Apache-2.0

import functools

import flax.errors
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from prompt_tuning.models import layers

jax.config.update("jax_numpy_rank_promotion", "raise")

_F32 = jnp.dtype("float32")
_BF16 = jnp.dtype("bfloat16")
_INIT = jax.nn.initializers.normal(1.0)


def _normal(seed, *shape):
    return jax.random.normal(jax.random.PRNGKey(seed), shape)


def _bucket_by_the_definition(relative, bidirectional, buckets, max_distance):
    """One relative position at a time, in Python floats."""
    base, distance = 0, -relative
    if bidirectional:
        buckets //= 2
        base = buckets if relative > 0 else 0
        distance = abs(relative)
    distance = max(distance, 0)
    exact = buckets // 2
    if distance < exact:
        return base + distance
    step = np.log(distance / exact + 1.2e-7) / np.log(max_distance / exact) * (buckets - exact)
    return base + min(exact + int(step), buckets - 1)


class RelativePositionTest(parameterized.TestCase):
    @hypothesis.settings(deadline=None, max_examples=60)
    @hypothesis.given(
        relative=st.integers(-2000, 2000),
        bidirectional=st.booleans(),
        quarter=st.integers(1, 16),
        reach=st.integers(3, 20),
    )
    def test_buckets_follow_the_definition(self, relative, bidirectional, quarter, reach):
        buckets, max_distance = 4 * quarter, 4 * quarter * reach
        actual = layers.relative_position_buckets(
            np.array([relative]), bidirectional, buckets, max_distance
        )
        expected = _bucket_by_the_definition(relative, bidirectional, buckets, max_distance)
        self.assertIn(int(actual[0]), range(buckets))
        # float32 may put a distance on a boundary one bucket lower or higher than float64.
        self.assertLessEqual(abs(int(actual[0]) - expected), 1)
        if abs(relative) < quarter:
            self.assertEqual(int(actual[0]), expected)

    def test_buckets_never_decrease_with_distance(self):
        past = layers.relative_position_buckets(-np.arange(500), False, 32, 128)
        self.assertTrue((np.diff(past) >= 0).all())
        self.assertEqual(past[0], 0)
        self.assertEqual(past[128], 31)

    def test_a_causal_table_does_not_tell_future_keys_apart(self):
        future = layers.relative_position_buckets(np.arange(1, 50), False, 32, 128)
        np.testing.assert_array_equal(future, 0)

    def test_bias_is_the_table_looked_up_by_bucket(self):
        module = layers.RelativePositionBiases(2, 8, 16, True, _F32)
        variables = module.init(jax.random.PRNGKey(0), 5, 7)
        bias = module.apply(variables, 5, 7)
        self.assertEqual(bias.shape, (1, 2, 5, 7))
        relative = np.arange(7)[None, :] - np.arange(5)[:, None]
        buckets = layers.relative_position_buckets(relative, True, 8, 16)
        table = variables["params"]["rel_embedding"]
        np.testing.assert_array_equal(bias[0], np.asarray(table)[:, buckets])

    def test_one_query_reads_its_row_of_the_full_bias(self):
        module = layers.RelativePositionBiases(3, 8, 16, False, _F32)
        variables = module.init(jax.random.PRNGKey(0), 6, 6)
        full = module.apply(variables, 6, 6)
        at = jax.jit(lambda i: module.apply(variables, i, 6, method="at"))
        for position in range(6):
            row = at(position)
            # Future keys are masked by the caller; only the past has to agree.
            past = slice(0, position + 1)
            np.testing.assert_array_equal(row[..., 0, past], full[..., position, past])


class NormAndDenseTest(parameterized.TestCase):
    def test_norm_divides_by_the_root_mean_square(self):
        x = _normal(0, 2, 3, 8) * 50 + 7
        scale = jnp.arange(8.0)
        actual = layers.T5LayerNorm(_F32).apply({"params": {"scale": scale}}, x)
        x = np.asarray(x, np.float64)
        expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * np.arange(8)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)

    def test_norm_takes_its_statistics_in_float32(self):
        # 300 ** 2 * 512 overflows no float32, but its sum has lost all small terms in bfloat16.
        x = jnp.concatenate([jnp.full((1, 1), 300.0), jnp.full((1, 511), 1.0)], axis=1)
        norm = layers.T5LayerNorm(_BF16)
        y = norm.apply(norm.init(jax.random.PRNGKey(0), x), x.astype(_BF16))
        self.assertEqual(y.dtype, _BF16)
        expected = 300 / np.sqrt((300**2 + 511) / 512)
        np.testing.assert_allclose(float(y[0, 0]), expected, rtol=4e-3)

    def test_parameters_are_float32_whatever_the_activations(self):
        module = layers.MlpBlock(6, ("gelu", "linear"), 0.0, _BF16, _INIT)
        variables = module.init(jax.random.PRNGKey(0), _normal(1, 1, 2, 4), True)
        for leaf in jax.tree.leaves(variables):
            self.assertEqual(leaf.dtype, _F32)
        self.assertEqual(module.apply(variables, _normal(1, 1, 2, 4), True).dtype, _BF16)

    def test_a_parameter_that_is_there_is_not_drawn_again(self):
        drawn = []

        def init(*arguments):
            drawn.append(arguments)
            return _INIT(*arguments)

        module, x = layers.Dense(3, _F32, init), _normal(1, 2, 4)
        variables = module.init(jax.random.PRNGKey(0), x)
        self.assertLen(drawn, 1)
        jax.eval_shape(module.apply, variables, x)
        self.assertLen(drawn, 1)

    def test_a_parameter_of_another_shape_or_name_is_refused(self):
        module = layers.Dense(3, _F32, _INIT)
        variables = {"params": {"kernel": jnp.ones((5, 3))}}
        with self.assertRaisesRegex(flax.errors.ScopeParamShapeError, r"\(4, 3\).*\(5, 3\)"):
            module.apply(variables, _normal(1, 2, 4))
        with self.assertRaisesRegex(flax.errors.ScopeParamNotFoundError, "kernel"):
            module.apply({"params": {"weight": jnp.ones((4, 3))}}, _normal(1, 2, 4))

    def test_embedding_looks_rows_up(self):
        module = layers.Embed(5, 3, _F32)
        variables = module.init(jax.random.PRNGKey(0), jnp.zeros((1, 1), jnp.int32))
        table = variables["params"]["embedding"]
        rows = module.apply(variables, jnp.array([[4, 0], [2, 2]]))
        np.testing.assert_array_equal(rows, np.asarray(table)[[[4, 0], [2, 2]]])

    def test_a_token_beyond_the_table_is_loud(self):
        module = layers.Embed(5, 3, _F32)
        variables = module.init(jax.random.PRNGKey(0), jnp.zeros((1, 1), jnp.int32))
        self.assertTrue(jnp.isnan(module.apply(variables, jnp.array([[5]]))).all())


class MlpTest(parameterized.TestCase):
    def test_gated_block(self):
        x = _normal(0, 2, 3, 4)
        module = layers.MlpBlock(6, ("gelu", "linear"), 0.0, _F32, _INIT)
        variables = module.init(jax.random.PRNGKey(0), x, True)
        w = {k: np.asarray(v["kernel"], np.float64) for k, v in variables["params"].items()}
        self.assertEqual(set(w), {"wi_0", "wi_1", "wo"})
        x = np.asarray(x, np.float64)
        h = x @ w["wi_0"]
        h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
        expected = (h * (x @ w["wi_1"])) @ w["wo"]
        np.testing.assert_allclose(module.apply(variables, x, True), expected, rtol=1e-4, atol=1e-4)

    def test_a_single_activation_has_the_kernel_name_of_t5_1_0(self):
        module = layers.MlpBlock(6, ("relu",), 0.0, _F32, _INIT)
        variables = module.init(jax.random.PRNGKey(0), _normal(0, 1, 1, 4), True)
        self.assertEqual(set(variables["params"]), {"wi", "wo"})


class AttentionTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.module = layers.MultiHeadAttention(2, 3, 5, 0.0, _F32, _INIT)
        self.x, self.y = _normal(1, 2, 4, 5), _normal(2, 2, 6, 5)
        self.variables = self.module.init(
            jax.random.PRNGKey(0), self.x, self.y, method=self._from_to
        )

    @staticmethod
    def _from_to(module, x, y, bias=None):
        bias = jnp.zeros((1, 1, 1, 1)) if bias is None else bias
        return module(x, *module.keys_values(y), bias, True)

    def _apply(self, *args):
        return self.module.apply(self.variables, *args, method=self._from_to)

    def test_against_numpy_without_scaling(self):
        bias = _normal(3, 1, 2, 4, 6)
        w = {k: np.asarray(v["kernel"]) for k, v in self.variables["params"].items()}
        x, y = np.asarray(self.x), np.asarray(self.y)
        q = (x @ w["query"]).reshape(2, 4, 2, 3)
        k, v = ((y @ w[n]).reshape(2, 6, 2, 3) for n in ("key", "value"))
        logits = np.einsum("bqnd,bknd->bnqk", q, k) + np.asarray(bias)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        expected = np.einsum("bnqk,bknd->bqnd", weights, v).reshape(2, 4, 6) @ w["out"]
        np.testing.assert_allclose(self._apply(self.x, self.y, bias), expected, rtol=1e-4)

    def test_rows_that_share_keys_equal_rows_with_copies(self):
        x = _normal(4, 6, 4, 5)
        copies = self._apply(x, jnp.repeat(self.y, 3, axis=0))
        np.testing.assert_allclose(self._apply(x, self.y), copies, rtol=1e-5, atol=1e-5)

    def test_a_masked_key_has_no_influence(self):
        bias = layers.mask_to_bias(jnp.arange(6)[None, None, None, :] < 4, _F32)
        changed = self.y.at[:, 4:].set(1e3)
        np.testing.assert_array_equal(
            self._apply(self.x, self.y, bias), self._apply(self.x, changed, bias)
        )

    def test_a_row_without_keys_attends_to_all_alike(self):
        bias = jnp.full((1, 1, 1, 6), layers.MASKED_LOGIT)
        alike = self._apply(jnp.zeros_like(self.x), self.y)
        np.testing.assert_allclose(self._apply(self.x, self.y, bias), alike, rtol=1e-5, atol=1e-6)

    def test_head_dim_is_folded_into_the_initial_query(self):
        # 512 x 512 normal kernels: the standard deviation is known to about 0.3 %.
        module = layers.MultiHeadAttention(8, 64, 512, 0.0, _F32, _INIT)
        x = jnp.zeros((1, 1, 512))
        init = jax.jit(lambda r: module.init(r, x, x, method=self._from_to))
        params = init(jax.random.PRNGKey(0))["params"]
        self.assertAlmostEqual(float(params["key"]["kernel"].std()), 1.0, delta=0.01)
        self.assertAlmostEqual(float(params["query"]["kernel"].std()), 1 / 8, delta=0.002)


class AbsorbedAttentionTest(parameterized.TestCase):
    """Attention that reads its input directly, against the one that projects it."""

    def setUp(self):
        super().setUp()
        self.module = layers.MultiHeadAttention(3, 16, 10, 0.0, _F32, _INIT)
        self.y = _normal(2, 2, 7, 10)
        self.variables = self.module.init(
            jax.random.PRNGKey(0), _normal(1, 2, 4, 10), self.y, None, 4, method=self._recall
        )

    @staticmethod
    def _recall(module, x, y, bias, reads):
        bias = jnp.zeros((1, 1, 1, 1)) if bias is None else bias
        return module.recall(x, module.memory(y, reads), bias, True)

    def _apply(self, variables, x, y, bias, reads):
        return self.module.apply(variables, x, y, bias, reads, method=self._recall)

    def test_parameters_are_those_of_the_projections(self):
        shapes = {name: leaf["kernel"].shape for name, leaf in self.variables["params"].items()}
        inner = {name: (10, 48) for name in ("query", "key", "value")}
        self.assertEqual(shapes, {**inner, "out": (48, 10)})

    @parameterized.parameters((8, False), (9, True), (1000, True))
    def test_few_reads_need_no_projection(self, reads, projected):
        memory = self.module.apply(self.variables, self.y, reads, method="memory")
        self.assertEqual(isinstance(memory, tuple), projected)

    @parameterized.parameters(1, 3)
    def test_values_and_every_gradient_are_those_of_the_projected_path(self, rows_per_key):
        x = _normal(3, 2 * rows_per_key, 4, 10)
        bias = _normal(4, 2, 1, 4 * rows_per_key, 7)
        probe = _normal(5, *x.shape)

        def result(reads, *arguments):
            return jnp.sum(self._apply(*arguments, reads) * probe)

        for reads in (8, 1000):
            arguments = (self.variables, x, self.y, bias)
            value, gradients = jax.value_and_grad(
                functools.partial(result, reads), argnums=(0, 1, 2, 3)
            )(*arguments)
            if reads == 8:
                expected = value, gradients
        np.testing.assert_allclose(value, expected[0], rtol=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4 * np.abs(b).max()),
            gradients,
            expected[1],
        )

    def test_dropout_is_that_of_the_projected_path(self):
        """Each head has a mask of its own, which its queries share."""
        module = self.module.clone(dropout_rate=0.5)

        def recall(module, reads):
            memory = module.memory(self.y, reads)
            return module.recall(_normal(3, 2, 4, 10), memory, jnp.zeros((1, 1, 1, 7)), False)

        rngs = {"dropout": jax.random.PRNGKey(6)}
        absorbed, projected = (
            module.apply(self.variables, reads, method=recall, rngs=rngs) for reads in (8, 1000)
        )
        np.testing.assert_allclose(absorbed, projected, rtol=1e-4, atol=1e-4)

    def test_a_masked_key_has_no_influence(self):
        x = _normal(3, 2, 4, 10)
        bias = layers.mask_to_bias(jnp.arange(7)[None, None, None, :] < 4, _F32)
        changed = self.y.at[:, 4:].set(1e3)
        np.testing.assert_array_equal(
            self._apply(self.variables, x, self.y, bias, 8),
            self._apply(self.variables, x, changed, bias, 8),
        )


class DropoutTest(absltest.TestCase):
    def test_mask_is_shared_along_the_length(self):
        x = jnp.ones((4, 10, 32))
        y = layers.dropout(0.5).apply(
            {}, x, deterministic=False, rngs={"dropout": jax.random.PRNGKey(0)}
        )
        np.testing.assert_array_equal(y, jnp.broadcast_to(y[:, :1], y.shape))
        self.assertSetEqual(set(np.unique(y)), {0.0, 2.0})
        self.assertFalse((y[0] == y[1]).all())


if __name__ == "__main__":
    absltest.main()
