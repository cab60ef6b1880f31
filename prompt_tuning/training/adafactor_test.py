# SPDX-License-Identifier: Apache-2.0
"""Tests of Adafactor: golden numbers of T5X, optax where both coincide, and each argument."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from prompt_tuning.training import adafactor

jax.config.update("jax_numpy_rank_promotion", "raise")

_GOLDEN = os.path.join(os.path.dirname(__file__), "testdata", "golden_adafactor.npz")
# What prompt tuning binds in gin.
_PROMPT_TUNING = {"multiply_by_parameter_scale": False, "weight_decay_rate": 1e-5}


def _random(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype(np.float32)


def _run(optimizer, init, grads, first_step=0, learning_rate=0.3):
    """Returns (the parameter after each update [n, ...], the final slots)."""
    params = {"p": jnp.asarray(init)}
    slots = optimizer.init(params)
    update = jax.jit(optimizer.update)
    trace = []
    for i, grad in enumerate(grads):
        params, slots = update(
            {"p": jnp.asarray(grad)}, slots, params, jnp.int32(first_step + i), learning_rate
        )
        trace.append(np.asarray(params["p"]))
    return np.stack(trace), slots["p"]


class GoldenTest(parameterized.TestCase):
    @parameterized.parameters(0, 1000)
    def test_updates_and_slots(self, step):
        golden = np.load(_GOLDEN)
        trace, slots = _run(
            adafactor.Adafactor(**_PROMPT_TUNING),
            golden["updates/init"],
            golden["updates/grads"],
            step,
        )
        prefix = f"updates/jit/step{step}/"
        np.testing.assert_allclose(trace, golden[prefix + "params"], rtol=0, atol=1e-6)
        for slot, value in slots.items():
            expected = golden[f"{prefix}final_state_{slot}"]
            self.assertEqual(value.shape, expected.shape)
            np.testing.assert_allclose(value, expected, rtol=1e-6)

    @parameterized.parameters(0, 1000)
    def test_ten_prompt_tuning_steps_on_golden_gradients(self, step):
        golden = np.load(_GOLDEN)
        trace, slots = _run(
            adafactor.Adafactor(**_PROMPT_TUNING),
            golden["curve/prompt0"],
            golden[f"curve/step{step}/grads"],
            step,
        )
        np.testing.assert_allclose(trace, golden[f"curve/step{step}/prompts"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(slots["v"], golden[f"curve/step{step}/final_v"], rtol=1e-6)

    def test_which_shapes_are_factored(self):
        for rows, columns, factored in np.load(_GOLDEN)["updates/factored_shapes"]:
            slots = adafactor.Adafactor().init({"p": jnp.zeros((rows, columns))})["p"]
            shapes = (slots["v_row"].shape, slots["v_col"].shape, slots["v"].shape)
            small, large = sorted((int(rows), int(columns)))
            expected = ((small,), (large,), (1,)) if factored else ((1,), (1,), (rows, columns))
            self.assertEqual(shapes, expected, f"{rows} x {columns}")


class AgainstOptaxTest(parameterized.TestCase):
    @parameterized.parameters(
        ((5, 16), {}),
        ((130, 140), {}),
        ((130, 140), {"factored": False}),
        ((16,), {"multiply_by_parameter_scale": False}),
        ((5, 16), {"clipping_threshold": None}),
    )
    def test_equals_optax_from_step_zero(self, shape, arguments):
        grads = [_random(*shape, seed=i) for i in range(4)]
        ours, _ = _run(adafactor.Adafactor(**arguments), _random(*shape, seed=9), grads)
        reference = optax.adafactor(0.3, min_dim_size_to_factor=128, **arguments)
        params = jnp.asarray(_random(*shape, seed=9))
        state = reference.init(params)
        for i, grad in enumerate(grads):
            updates, state = reference.update(jnp.asarray(grad), state, params)
            params = optax.apply_updates(params, updates)
            np.testing.assert_allclose(ours[i], params, rtol=1e-5, atol=2e-6)

    def test_step_offset_makes_a_late_start_equal_an_early_one(self):
        grads = [_random(3, 4, seed=i) for i in range(3)]
        early, _ = _run(adafactor.Adafactor(), _random(3, 4), grads, first_step=0)
        late, _ = _run(adafactor.Adafactor(step_offset=1000), _random(3, 4), grads, first_step=1000)
        np.testing.assert_array_equal(early, late)

    def test_the_global_step_matters(self):
        grads = [_random(3, 4, seed=i) for i in range(3)]
        from_zero, _ = _run(adafactor.Adafactor(), _random(3, 4), grads, first_step=0)
        from_base, _ = _run(adafactor.Adafactor(), _random(3, 4), grads, first_step=1_100_000)
        self.assertGreater(np.abs(from_zero - from_base).max(), 1e-3)


class ArithmeticTest(parameterized.TestCase):
    def test_at_a_large_step_every_update_has_rms_of_the_learning_rate(self):
        grads = [_random(20, 8, seed=i) for i in range(5)]
        optimizer = adafactor.Adafactor(multiply_by_parameter_scale=False)
        trace, _ = _run(optimizer, np.zeros((20, 8), np.float32), grads, 1_100_000)
        changes = np.diff(np.concatenate([np.zeros((1, 20, 8)), trace]), axis=0)
        np.testing.assert_allclose(np.sqrt(np.mean(changes**2, axis=(1, 2))), 0.3, rtol=1e-5)

    def test_decay_is_rounded_to_float32(self):
        # At 1.1M the float32 rounding of the decay changes 1 - decay by 0.15 %.
        _, slots = _run(adafactor.Adafactor(), _random(2, 2), [np.ones((2, 2))], 1_100_000)
        decay = np.float32(1) - np.float32(1_100_001) ** np.float32(-0.8)
        np.testing.assert_allclose(slots["v"], np.full((2, 2), np.float32(1) - decay), rtol=1e-6)

    def test_weight_decay_is_not_multiplied_by_the_learning_rate(self):
        optimizer = adafactor.Adafactor(weight_decay_rate=0.25)
        ones = np.ones((2, 2), np.float32)
        trace, _ = _run(optimizer, ones, [ones], learning_rate=0.0)
        np.testing.assert_allclose(trace[0], 0.75, rtol=1e-6)

    @parameterized.parameters((None, 1.0 - 0.5**2), (0.1, 1.0 - 0.1 * 0.5**2))
    def test_weight_decay_by_a_power_of_the_learning_rate(self, rate, kept):
        optimizer = adafactor.Adafactor(weight_decay_rate=rate, weight_decay_rate_lr_exponent=2.0)
        # A zero gradient moves nothing, so that only the decay is left.
        trace, _ = _run(
            optimizer, np.ones((2, 2), np.float32), [np.zeros((2, 2))], learning_rate=0.5
        )
        np.testing.assert_allclose(trace[0], kept, rtol=1e-6)

    @parameterized.parameters(
        ({}, 4.0),
        ({"multiply_by_parameter_scale": False}, 1.0),
        ({"max_parameter_scale": 2.0}, 2.0),
        ({"epsilon2": 10.0}, 10.0),
    )
    def test_parameter_scale(self, arguments, scale):
        optimizer = adafactor.Adafactor(**arguments)
        init = np.full((2, 2), 4.0, np.float32)
        trace, _ = _run(optimizer, init, [np.ones((2, 2))], learning_rate=0.1)
        np.testing.assert_allclose(init - trace[0], 0.1 * scale, rtol=1e-5)

    def test_parameter_scale_by_name(self):
        scaled = adafactor.HParamMap([(".*/prompt$", False), (".*", True)])
        optimizer = adafactor.Adafactor(multiply_by_parameter_scale=scaled)
        params = {n: jnp.full((2, 2), 4.0) for n in ("a/prompt", "a/kernel")}
        grads = {n: jnp.ones((2, 2)) for n in params}
        new, _ = optimizer.update(grads, optimizer.init(params), params, jnp.int32(0), 0.1)
        np.testing.assert_allclose(4.0 - new["a/prompt"], 0.1, rtol=1e-5)
        np.testing.assert_allclose(4.0 - new["a/kernel"], 0.4, rtol=1e-5)
        with self.assertRaisesRegex(ValueError, "no rule of HParamMap matches .*'b'"):
            adafactor.HParamMap([("a", 1)])["b"]

    @parameterized.parameters(jnp.float32, jnp.bfloat16)
    def test_momentum_averages_the_updates_without_debiasing(self, dtype):
        arguments = {"multiply_by_parameter_scale": False, "decay_rate": 0.8}
        grads = [_random(3, 4, seed=i) for i in range(3)]
        init = np.zeros((3, 4), np.float32)
        plain, _ = _run(adafactor.Adafactor(**arguments), init, grads)
        updates = -np.diff(np.concatenate([init[None], plain]), axis=0)
        optimizer = adafactor.Adafactor(beta1=0.9, dtype_momentum=dtype, **arguments)
        trace, slots = _run(optimizer, init, grads)
        self.assertEqual((slots["m"].dtype, slots["m"].shape), (dtype, (3, 4)))
        momentum, param = np.zeros((3, 4)), np.zeros((3, 4))
        for i, update in enumerate(updates):
            momentum = 0.9 * momentum + 0.1 * update
            param = param - momentum
            tolerance = 1e-3 if dtype == jnp.bfloat16 else 1e-6
            np.testing.assert_allclose(trace[i], param, atol=tolerance)

    def test_global_norm_clipping_scales_all_gradients_together(self):
        arguments = {"multiply_by_parameter_scale": False, "epsilon1": 1.0}
        params = {n: jnp.zeros((2, 2)) for n in "ab"}
        grads = {"a": jnp.full((2, 2), 3.0), "b": jnp.full((2, 2), 4.0)}  # norm 10
        clipped = adafactor.Adafactor(global_norm_clip_threshold=1.0, **arguments)
        plain = adafactor.Adafactor(**arguments)
        got, _ = clipped.update(grads, clipped.init(params), params, jnp.int32(0), 0.1)
        small = {n: g / 10.0 for n, g in grads.items()}
        expected, _ = plain.update(small, plain.init(params), params, jnp.int32(0), 0.1)
        for name in params:
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-5)

    def test_nan_gradients(self):
        bad = np.array([[np.nan, 1.0], [1.0, 1.0]], np.float32)
        skipping = adafactor.Adafactor(skip_nan_updates=True)
        trace, slots = _run(skipping, np.ones((2, 2), np.float32), [bad])
        np.testing.assert_array_equal(trace[0], np.ones((2, 2)))
        np.testing.assert_array_equal(slots["v"], np.zeros((2, 2)))
        trace, _ = _run(adafactor.Adafactor(), np.ones((2, 2), np.float32), [bad])
        self.assertTrue(np.isnan(trace).any())

    def test_a_zero_gradient_moves_nothing(self):
        trace, _ = _run(adafactor.Adafactor(), _random(2, 2), [np.zeros((2, 2), np.float32)] * 2)
        np.testing.assert_array_equal(trace[-1], _random(2, 2))

    def test_bfloat16_parameters_keep_their_dtype_and_float32_slots(self):
        params = {"p": jnp.ones((2, 2), jnp.bfloat16)}
        optimizer = adafactor.Adafactor()
        new, slots = optimizer.update(
            {"p": jnp.ones((2, 2), jnp.bfloat16)}, optimizer.init(params), params, jnp.int32(0), 0.1
        )
        self.assertEqual(new["p"].dtype, jnp.bfloat16)
        self.assertEqual(slots["p"]["v"].dtype, jnp.float32)


class ErrorsTest(absltest.TestCase):
    def test_rank_three_needs_factored_false(self):
        params = {"a/b": jnp.zeros((2, 3, 4))}
        with self.assertRaisesRegex(ValueError, r"a/b has shape \(2, 3, 4\).*factored = False"):
            adafactor.Adafactor().init(params)
        self.assertEqual(
            adafactor.Adafactor(factored=False).init(params)["a/b"]["v"].shape, (2, 3, 4)
        )

    def test_no_learning_rate(self):
        optimizer, params = adafactor.Adafactor(), {"p": jnp.ones((2,))}
        with self.assertRaisesRegex(ValueError, "no learning rate"):
            optimizer.update(params, optimizer.init(params), params, jnp.int32(0))

    def test_own_learning_rate(self):
        optimizer = adafactor.Adafactor(learning_rate=0.5, multiply_by_parameter_scale=False)
        params = {"p": jnp.ones((2,))}
        new, _ = optimizer.update(params, optimizer.init(params), params, jnp.int32(0))
        np.testing.assert_allclose(new["p"], 0.5, rtol=1e-5)

    def test_factor_rules_are_accepted_and_change_nothing_for_a_prompt(self):
        rules = adafactor.standard_logical_factor_rules({"x": adafactor.FactorDim.ROW})
        self.assertEqual(rules["prompt"], adafactor.FactorDim.NONE)
        self.assertEqual(rules["x"], adafactor.FactorDim.ROW)
        slots = adafactor.Adafactor(logical_factor_rules=rules).init({"p": jnp.zeros((150, 256))})
        self.assertEqual(slots["p"]["v_row"].shape, (150,))


if __name__ == "__main__":
    absltest.main()
