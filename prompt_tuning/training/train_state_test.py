# SPDX-License-Identifier: Apache-2.0
"""Tests of the training state and its slots."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from prompt_tuning.training import train_state

jax.config.update("jax_numpy_rank_promotion", "raise")

_SLOTS = {"a/b": {"v": jnp.zeros((2, 3)), "m": jnp.zeros((1,))}, "c": {"v": jnp.zeros((4,))}}


class TrainStateTest(absltest.TestCase):
    def test_step_is_an_int32_scalar(self):
        state = train_state.TrainState.create(1_100_000, {}, {})
        self.assertEqual(state.step.dtype, jnp.int32)
        self.assertEqual(int(state.step), 1_100_000)

    def test_create_copies_so_that_donation_cannot_delete_the_callers_arrays(self):
        mine = jnp.arange(3.0)
        state = train_state.TrainState.create(0, {"x": mine}, {})
        jax.jit(lambda s: s.replace(step=s.step + 1), donate_argnums=0)(state)
        self.assertTrue(state.params["x"].is_deleted())
        np.testing.assert_array_equal(mine, [0.0, 1.0, 2.0])

    def test_is_a_pytree_of_arrays_only(self):
        state = train_state.TrainState.create(0, {"c": np.ones(4)}, {"c": _SLOTS["c"]})
        self.assertLen(jax.tree.leaves(state), 3)


class SlotsTest(absltest.TestCase):
    def test_flat_names_are_those_of_t5x_files(self):
        self.assertEqual(set(train_state.flatten_slots(_SLOTS)), {"a/b/v", "a/b/m", "c/v"})

    def test_round_trip(self):
        leaves = {
            name: np.random.RandomState(0).normal(size=value.shape).astype(np.float32)
            for name, value in train_state.flatten_slots(_SLOTS).items()
        }
        restored = train_state.flatten_slots(train_state.with_slots(_SLOTS, leaves))
        self.assertEqual(set(restored), set(leaves))
        for name, value in leaves.items():
            np.testing.assert_array_equal(restored[name], value)

    def test_missing_slot(self):
        with self.assertRaisesRegex(ValueError, "a/b/v: the checkpoint has nothing"):
            train_state.with_slots(_SLOTS, {})

    def test_wrong_shape_names_both(self):
        leaves = {n: np.zeros((7,)) for n in train_state.flatten_slots(_SLOTS)}
        with self.assertRaisesRegex(ValueError, r"shape \(7,\), this .* needs shape \(2, 3\)"):
            train_state.with_slots(_SLOTS, leaves)


if __name__ == "__main__":
    absltest.main()
