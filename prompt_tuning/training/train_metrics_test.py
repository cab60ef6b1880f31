# SPDX-License-Identifier: Apache-2.0
"""Tests of the metric sums and of T5X's names made from them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.training import train_metrics

jax.config.update("jax_numpy_rank_promotion", "raise")

# Two steps of 4 examples with 6 input and 2 target positions.
_SUMS = {
    "loss": 12.0,
    "z_loss": 2.0,
    "cross_ent_loss": 10.0,
    "correct": 9.0,
    "weight_sum": 12.0,
    "learning_rate": 0.6,
    "num_examples": 8.0,
    "encoder_input_tokens": 36.0,
    "encoder_input_positions": 48.0,
    "decoder_target_tokens": 10.0,
    "decoder_target_positions": 16.0,
}


class SummarizeTest(parameterized.TestCase):
    @parameterized.parameters(
        ("loss", 6.0),
        ("z_loss", 1.0),
        ("cross_ent_loss", 5.0),
        ("accuracy", 0.75),
        ("learning_rate", 0.3),
        ("loss_per_nonpadding_target_token", 1.0),
        ("loss_per_all_target_tokens", 0.75),
        ("z_loss_per_all_target_tokens", 0.125),
        ("cross_ent_loss_per_all_target_tokens", 0.625),
        ("effective_batch_size/encoder_input_tokens", 4.0),
        ("effective_batch_size/decoder_target_tokens", 4.0),
        ("non_padding_fraction/encoder_input_tokens", 0.75),
        ("non_padding_fraction/decoder_target_tokens", 0.625),
        ("non_padding_fraction/loss_weights", 0.75),
        ("non_padding_fraction/overall", 46 / 64),
        ("timing/seconds", 0.5),
        ("timing/steps_per_second", 4.0),
        ("timing/seqs", 8.0),
        ("timing/seqs_per_second", 16.0),
        ("timing/seqs_per_second_per_core", 8.0),
        ("timing/target_tokens_per_second", 32.0),
        ("timing/target_tokens_per_second_per_core", 16.0),
    )
    def test_t5x_tag(self, tag, expected):
        scalars = train_metrics.summarize(_SUMS, steps=2, seconds=0.5, cores=2)
        self.assertAlmostEqual(scalars[tag], expected)

    def test_what_the_model_does_not_report_is_left_out(self):
        scalars = train_metrics.summarize({"loss": 1.0}, steps=1, seconds=1.0)
        self.assertEqual(set(scalars), {"loss", "timing/seconds", "timing/steps_per_second"})

    def test_without_a_time_there_are_no_timings(self):
        scalars = train_metrics.summarize(_SUMS, steps=2)
        self.assertFalse([tag for tag in scalars if tag.startswith("timing/")])

    def test_no_target_token_gives_nan_not_an_exception(self):
        scalars = train_metrics.summarize({**_SUMS, "weight_sum": 0.0}, steps=2, seconds=0.0)
        self.assertTrue(math.isnan(scalars["accuracy"]))
        self.assertTrue(math.isnan(scalars["timing/steps_per_second"]))


class WeightMetricsTest(absltest.TestCase):
    def test_weight_metrics(self):
        old, new = {"a/b": jnp.array([3.0, -4.0])}, {"a/b": jnp.array([3.0, -3.0])}
        metrics = train_metrics.weight_metrics(old, new, {"a/b": jnp.array([0.0, 2.0])})
        rms = math.sqrt(12.5)
        expected = {
            "weight_rms/a/b": rms,
            "weight_max/a/b": 4.0,
            "weight_gradient_rms/a/b": math.sqrt(2.0),
            "weight_gradient_norm": 2.0,
            "weight_update_rms/a/b": math.sqrt(0.5),
            "weight_update_divided_by_weight_rms/a/b": math.sqrt(0.5) / rms,
        }
        self.assertEqual(set(metrics), set(expected))
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-6, err_msg=name)
        # Per step averages, as T5X writes them.
        sums = {name: 2 * float(value) for name, value in metrics.items()}
        scalars = train_metrics.summarize(sums, steps=2, seconds=1.0)
        self.assertAlmostEqual(scalars["weight_max/a/b"], 4.0)
        self.assertAlmostEqual(scalars["weight_gradient_norm"], 2.0)


if __name__ == "__main__":
    absltest.main()
