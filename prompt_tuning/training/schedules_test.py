# SPDX-License-Identifier: Apache-2.0
"""Tests of the learning rate schedules against the formulas evaluated by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.training import schedules

jax.config.update("jax_numpy_rank_promotion", "raise")


class SchedulesTest(parameterized.TestCase):
    @parameterized.parameters(
        # factors, keyword arguments, {step: expected}
        ("constant", {"base_learning_rate": 0.3}, {0: 0.3, 1_100_000: 0.3}),
        ("linear_warmup", {"warmup_steps": 10}, {0: 1e-8, 5: 0.5, 10: 1.0, 99: 1.0}),
        (
            "linear_decay",
            {"base_learning_rate": 2.0, "warmup_steps": 10, "decay_factor": 0.05},
            {0: 1e-8, 5: 1.0, 10: 2.0, 20: 1.0, 30: 1e-8, 50: 1e-8},
        ),
        ("rsqrt_decay", {"warmup_steps": 100}, {0: 0.1, 100: 0.1, 400: 0.05}),
        ("rsqrt_normalized_decay", {"warmup_steps": 100}, {0: 1.0, 100: 1.0, 400: 0.5}),
        (
            "constant * decay_every",
            {"base_learning_rate": 1.0, "steps_per_decay": 10, "decay_factor": 0.5},
            {0: 1.0, 9: 1.0, 10: 0.5, 35: 0.125},
        ),
        (
            "cosine_decay",
            {"warmup_steps": 10, "steps_per_cycle": 100},
            {0: 1.0, 10: 1.0, 60: 0.5, 85: 0.5 * (1 + math.cos(0.75 * math.pi)), 110: 1.0},
        ),
        (
            "constant * linear_warmup * rsqrt_decay",
            {"base_learning_rate": 0.5, "warmup_steps": 1000},
            {500: 0.25 / math.sqrt(1000), 4000: 0.5 / math.sqrt(4000)},
        ),
        ("constant", {"base_learning_rate": 0.0, "min_learning_rate": 1e-3}, {7: 1e-3}),
        (
            "linear_warmup",
            {"warmup_steps": 10, "step_offset": 1_100_000},
            {0: 1e-8, 1_100_000: 1e-8, 1_100_005: 0.5},
        ),
    )
    def test_values(self, factors, arguments, expected):
        learning_rate = jax.jit(schedules.create_learning_rate_scheduler(factors, **arguments))
        for step, value in expected.items():
            got = learning_rate(jnp.int32(step))
            self.assertEqual((got.dtype, got.shape), (jnp.float32, ()))
            np.testing.assert_allclose(got, value, rtol=1e-6, atol=1e-9, err_msg=f"step {step}")

    def test_t5x_default_is_warmup_then_rsqrt(self):
        learning_rate = schedules.create_learning_rate_scheduler()
        np.testing.assert_allclose(learning_rate(10_000), 0.5 / 100, rtol=1e-6)

    def test_unknown_factor_names_the_nearest(self):
        with self.assertRaisesRegex(ValueError, "'linear_warmpu'.*did you mean 'linear_warmup'"):
            schedules.create_learning_rate_scheduler("constant * linear_warmpu")

    @parameterized.parameters("linear_warmup", "linear_decay")
    def test_warmup_of_zero_steps_is_refused_where_it_divides(self, factor):
        with self.assertRaisesRegex(ValueError, "warmup_steps is 0"):
            schedules.create_learning_rate_scheduler(factor, warmup_steps=0)

    def test_warmup_of_zero_steps_is_fine_where_it_is_not_used(self):
        learning_rate = schedules.create_learning_rate_scheduler("constant", 0.3, warmup_steps=0)
        np.testing.assert_allclose(learning_rate(0), 0.3, rtol=1e-6)

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.sampled_from(schedules._FACTORS), min_size=1, max_size=4),
        st.integers(0, 2_000_000),
    )
    def test_any_product_is_finite_and_above_the_floor(self, factors, step):
        value = float(schedules.create_learning_rate_scheduler(" * ".join(factors))(step))
        self.assertTrue(math.isfinite(value))
        self.assertGreaterEqual(value, np.float32(1e-8))


class NegativeRateTest(absltest.TestCase):
    def test_a_rate_that_would_climb_is_refused(self):
        with self.assertRaisesRegex(ValueError, "base_learning_rate is -1.*--learning_rate"):
            schedules.create_learning_rate_scheduler("constant", base_learning_rate=-1)


if __name__ == "__main__":
    absltest.main()
