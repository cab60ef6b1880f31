# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from prompt_tuning.models import losses

jax.config.update("jax_numpy_rank_promotion", "raise")


def _normal(seed, *shape):
    return jax.random.normal(jax.random.PRNGKey(seed), shape)


class CrossEntropyTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.logits = 3 * _normal(0, 2, 5, 11)
        self.targets = jax.nn.softmax(_normal(1, 2, 5, 11))

    def test_without_z_loss_it_is_the_library_loss(self):
        loss, z_loss = losses.cross_entropy_with_logits(self.logits, self.targets)
        expected = optax.softmax_cross_entropy(self.logits, self.targets)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        np.testing.assert_array_equal(z_loss, 0)

    def test_z_loss_is_part_of_the_loss(self):
        loss, z_loss = losses.cross_entropy_with_logits(self.logits, self.targets, 0.1)
        log_z = jax.nn.logsumexp(self.logits, axis=-1)
        np.testing.assert_allclose(z_loss, 0.1 * log_z**2, rtol=1e-6)
        expected = optax.softmax_cross_entropy(self.logits, self.targets) + z_loss
        np.testing.assert_allclose(loss, expected, rtol=1e-5)

    @parameterized.parameters(0.0, 0.1)
    def test_gradient_equals_automatic_differentiation(self, z_loss):
        weights = _normal(2, 2, 5)

        def plain(logits, targets):
            log_z = jax.nn.logsumexp(logits, axis=-1)
            log_softmax = logits - log_z[..., None]
            return jnp.sum(weights * (z_loss * log_z**2 - jnp.sum(targets * log_softmax, axis=-1)))

        def ours(logits, targets):
            return jnp.sum(weights * losses.cross_entropy_with_logits(logits, targets, z_loss)[0])

        expected = jax.grad(plain, argnums=(0, 1))(self.logits, self.targets)
        actual = jax.grad(ours, argnums=(0, 1))(self.logits, self.targets)
        for a, e in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5)

    def test_logits_of_any_size_have_finite_gradients(self):
        logits = jnp.array([[1e30, -1e30, 0.0], [-1e30, -1e30, -1e30]])
        targets = jax.nn.one_hot(jnp.array([0, 1]), 3)
        gradient = jax.grad(lambda x: losses.cross_entropy_with_logits(x, targets)[0].sum())(logits)
        np.testing.assert_allclose(gradient[0], 0, atol=1e-6)
        self.assertTrue(jnp.isfinite(gradient).all())


class WeightedCrossEntropyTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.logits = _normal(0, 2, 4, 7)
        self.targets = jnp.array([[3, 5, 1, 0], [2, 1, 0, 0]])
        self.weights = (self.targets > 0).astype(jnp.float32)

    def test_it_is_a_sum_over_weighted_tokens(self):
        loss, z_loss, weight_sum = losses.compute_weighted_cross_entropy(
            self.logits, self.targets, self.weights
        )
        each = optax.softmax_cross_entropy_with_integer_labels(self.logits, self.targets)
        self.assertAlmostEqual(float(loss), float((each * self.weights).sum()), places=4)
        self.assertEqual(float(z_loss), 0)
        self.assertEqual(float(weight_sum), 5)

    def test_no_weights_are_ones(self):
        ones = jnp.ones(self.targets.shape)
        given = losses.compute_weighted_cross_entropy(self.logits, self.targets, ones)
        absent = losses.compute_weighted_cross_entropy(self.logits, self.targets)
        self.assertEqual(tuple(map(float, given)), tuple(map(float, absent)))

    def test_the_best_smoothed_loss_is_zero(self):
        smoothing = 0.2
        soft = jax.nn.one_hot(self.targets, 7) * (1 - smoothing - smoothing / 6) + smoothing / 6
        loss, _, _ = losses.compute_weighted_cross_entropy(
            jnp.log(soft), self.targets, label_smoothing=smoothing
        )
        self.assertAlmostEqual(float(loss), 0, places=4)
        worse, _, _ = losses.compute_weighted_cross_entropy(
            jnp.log(soft) + 0.1 * self.logits, self.targets, label_smoothing=smoothing
        )
        self.assertGreater(float(worse), 0.01)

    def test_the_factor_divides_loss_and_z_loss_but_not_the_weights(self):
        whole = losses.compute_weighted_cross_entropy(
            self.logits, self.targets, self.weights, z_loss=0.1
        )
        part = losses.compute_weighted_cross_entropy(
            self.logits, self.targets, self.weights, z_loss=0.1, loss_normalizing_factor=4.0
        )
        np.testing.assert_allclose(part, (whole[0] / 4, whole[1] / 4, whole[2]), rtol=1e-6)

    def test_shapes_that_do_not_fit(self):
        with self.assertRaisesRegex(ValueError, r"\(2, 4, 7\).*\(2,\)"):
            losses.compute_weighted_cross_entropy(self.logits, self.targets[:, 0])


class NormalizingFactorTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.batch = {
            "decoder_target_tokens": jnp.array([[3, 5, 1, 0], [2, 1, 0, 0], [0, 0, 0, 0]]),
            "decoder_loss_weights": jnp.array(
                [[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
            ),
        }

    @parameterized.parameters(None, 1, 2.5)
    def test_numbers_pass_through(self, factor):
        result, weights = losses.get_loss_normalizing_factor_and_weights(factor, self.batch)
        self.assertEqual(result, factor)
        self.assertIs(weights, self.batch["decoder_loss_weights"])

    def test_without_weights_a_number_invents_none(self):
        del self.batch["decoder_loss_weights"]
        resolved = losses.get_loss_normalizing_factor_and_weights(2, self.batch)
        self.assertEqual(resolved, (2, None))

    @parameterized.parameters(
        ("NUM_REAL_TARGET_TOKENS", 4), ("num_total_target_tokens", 12), ("Average_Per_Sequence", 2)
    )
    def test_names_in_any_case(self, name, expected):
        factor, _ = losses.get_loss_normalizing_factor_and_weights(name, self.batch)
        self.assertEqual(float(factor), expected)

    def test_real_targets_are_counted_where_weights_are_absent(self):
        del self.batch["decoder_loss_weights"]
        factor, weights = losses.get_loss_normalizing_factor_and_weights(
            "NUM_REAL_TARGET_TOKENS", self.batch
        )
        self.assertEqual(float(factor), 5)
        np.testing.assert_array_equal(weights, self.batch["decoder_target_tokens"] > 0)

    def test_average_per_sequence_weighs_rows_alike(self):
        self.batch["decoder_loss_weights"] = self.batch["decoder_loss_weights"].at[0, 0].set(2.0)
        _, weights = losses.get_loss_normalizing_factor_and_weights(
            "AVERAGE_PER_SEQUENCE", self.batch
        )
        np.testing.assert_allclose(weights.sum(axis=-1), [1, 1, 0], rtol=1e-6)
        np.testing.assert_allclose(weights[0], [0.5, 0.25, 0.25, 0])

    def test_an_unknown_name_offers_the_nearest(self):
        with self.assertRaisesRegex(ValueError, "mean 'NUM_REAL_TARGET_TOKENS'"):
            losses.check_loss_normalizing_factor("num_real_tokens")

    @parameterized.parameters(0, -1.0)
    def test_a_number_must_be_positive(self, factor):
        with self.assertRaisesRegex(ValueError, "LOSS_NORMALIZING_FACTOR"):
            losses.check_loss_normalizing_factor(factor)


if __name__ == "__main__":
    absltest.main()
