# SPDX-License-Identifier: Apache-2.0
"""Tests of the choice between optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from prompt_tuning.training import adafactor, optimizers

jax.config.update("jax_numpy_rank_promotion", "raise")

_NAMES = ["encoder/prompt/prompt/prompt", "encoder/ia3_scaling", "decoder/kernel"]


def _traversal(*regexes):
    return optimizers.ModelParamTraversal(optimizers.match_any(list(regexes)))


class MultiOptimizerTest(absltest.TestCase):
    def test_unselected_parameters_are_frozen(self):
        optimizer = optimizers.MultiOptimizer([(_traversal(".*/prompt/.*"), adafactor.Adafactor())])
        self.assertEqual(optimizer.trainable(_NAMES), _NAMES[:1])
        params = {name: jnp.ones((2, 2)) for name in _NAMES}
        slots = optimizer.init(params)
        self.assertEqual(set(slots), {_NAMES[0]})
        new, _ = optimizer.update(params, slots, params, jnp.int32(0), 0.1)
        self.assertLess(float(new[_NAMES[0]][0, 0]), 1.0)
        for name in _NAMES[1:]:
            self.assertIs(new[name], params[name])

    def test_each_part_gets_its_own_optimizer_and_the_same_step_and_rate(self):
        scaled = adafactor.Adafactor()
        unscaled = adafactor.Adafactor(multiply_by_parameter_scale=False)
        both = optimizers.MultiOptimizer(
            [(_traversal(".*/prompt/.*"), unscaled), (_traversal(".*/kernel"), scaled)]
        )
        params = {name: jnp.full((2, 2), 4.0) for name in (_NAMES[0], _NAMES[2])}
        self.assertEqual(both.trainable(_NAMES), sorted(params))
        slots = both.init(params)
        grads = {name: jnp.ones((2, 2)) for name in params}
        new, new_slots = jax.jit(both.update)(grads, slots, params, jnp.int32(7), 0.1)
        for optimizer, name in ((unscaled, _NAMES[0]), (scaled, _NAMES[2])):
            alone = {name: params[name]}
            expected, expected_slots = optimizer.update(
                {name: grads[name]}, optimizer.init(alone), alone, jnp.int32(7), 0.1
            )
            np.testing.assert_allclose(new[name], expected[name], rtol=1e-6)
            np.testing.assert_allclose(new_slots[name]["v"], expected_slots[name]["v"], rtol=1e-6)

    def test_overlapping_traversals(self):
        optimizer = optimizers.MultiOptimizer(
            [(_traversal(".*"), adafactor.Adafactor()), (_traversal(".*/prompt/.*"), None)]
        )
        with self.assertRaisesRegex(ValueError, "select the same parameters.*prompt/prompt/prompt"):
            optimizer.trainable(_NAMES)

    def test_a_regex_without_a_match_names_the_nearest_parameter(self):
        optimizer = optimizers.MultiOptimizer([(_traversal(".*/promt/.*"), adafactor.Adafactor())])
        with self.assertRaisesRegex(ValueError, "nearest.*encoder/prompt/prompt/prompt"):
            optimizer.trainable(_NAMES)

    def test_any_predicate_will_do_but_not_one_that_selects_nothing(self):
        by_suffix = optimizers.ModelParamTraversal(lambda path, _: path.endswith("/kernel"))
        self.assertEqual(by_suffix.select(_NAMES), ["decoder/kernel"])
        nothing = optimizers.ModelParamTraversal(lambda path, _: False)
        with self.assertRaisesRegex(ValueError, "selects none of the 3 parameters"):
            nothing.select(_NAMES)

    def test_regexes_for_the_record(self):
        pairs = [(_traversal("a", "b"), None), (_traversal("c"), None)]
        pairs.append((optimizers.ModelParamTraversal(lambda path, _: True), None))
        self.assertEqual(optimizers.MultiOptimizer(pairs).trainable_regexes, ("a", "b", "c"))

    def test_needs_a_pair(self):
        with self.assertRaisesRegex(ValueError, "at least one"):
            optimizers.MultiOptimizer([])


if __name__ == "__main__":
    absltest.main()
