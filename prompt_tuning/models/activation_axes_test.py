# SPDX-License-Identifier: Apache-2.0
"""Tests of the names of activations' axes."""

import jax.numpy as jnp
from absl.testing import absltest

from prompt_tuning.models import activation_axes


class ActivationAxesTest(absltest.TestCase):
    def test_without_a_placement_a_name_changes_nothing(self):
        value = jnp.zeros((2, 3))
        self.assertIs(activation_axes.named(value, "batch", "length"), value)

    def test_a_placement_sees_value_and_names_only_inside(self):
        seen = []

        def placement(value, axes):
            seen.append(axes)
            return value + 1

        with activation_axes.placed_by(placement):
            value = activation_axes.named(jnp.zeros((2, 3)), "batch", None)
        activation_axes.named(value, "batch", "embed")
        self.assertEqual(seen, [("batch", None)])
        self.assertEqual(float(value[0, 0]), 1.0)

    def test_every_axis_has_a_name(self):
        with self.assertRaisesRegex(ValueError, r"shape \(2, 3\)"):
            activation_axes.named(jnp.zeros((2, 3)), "batch")


if __name__ == "__main__":
    absltest.main()
