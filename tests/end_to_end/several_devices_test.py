# SPDX-License-Identifier: Apache-2.0
"""The same numbers on one device and on meshes of up to eight, in one process."""

import os

import jax
import numpy as np
from absl.testing import absltest, parameterized

from tests.end_to_end import programs, toy_run

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)  # Most of the time is compilation.

# Sums over devices are taken in another order: a few units in the last place of float32, twelve
# steps later. The same tolerances are promised in docs/topologies.md.
LOSS_RTOL, PROMPT_ATOL = 2e-5, 2e-5


class SeveralDevicesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        cls.alone = {}

    def run_on(self, devices, partitions, **options):
        """(losses, trained parameters) of a run on that many devices."""
        sharded = options.pop("fully_sharded", False)
        part = toy_run.partitioner_of(partitions, sharded, jax.devices()[:devices])
        result, losses = toy_run.train(part, self.create_tempdir().full_path, **options)
        return losses, result.state

    def expected(self, **options):
        """What one device gives; computed once for the same options."""
        key = tuple(sorted(options.items()))
        if key not in self.alone:
            self.alone[key] = self.run_on(1, 1, **options)
        return self.alone[key]

    @parameterized.named_parameters(
        ("split_in_two", 2, 2, False),
        ("four_copies", 4, 1, False),
        ("fully_sharded_copies_split_in_two", 8, 2, True),
    )
    def test_curve_and_prompt(self, devices, partitions, fully_sharded):
        losses, state = self.run_on(devices, partitions, fully_sharded=fully_sharded)
        wanted_losses, wanted = self.expected()
        np.testing.assert_allclose(losses, wanted_losses, rtol=LOSS_RTOL)
        found, fresh = state.params[toy_run.PROMPT], toy_run.initial_parameters()[toy_run.PROMPT]
        np.testing.assert_allclose(found, wanted.params[toy_run.PROMPT], atol=PROMPT_ATOL)
        # What is compared has been trained: it lies far from where it began.
        self.assertGreater(np.abs(found - fresh).max(), 0.1)

    def test_every_weight_trained_in_its_place(self):
        options = {"regex": ".*", "steps": 6}
        losses, state = self.run_on(8, 2, fully_sharded=True, **options)
        wanted_losses, _ = self.expected(**options)
        np.testing.assert_allclose(losses, wanted_losses, rtol=LOSS_RTOL)
        name = "encoder/layers_0/mlp/wi_0/kernel"
        kernel, second_moment = state.params[name], state.opt_state[name]["v"]
        self.assertEqual(kernel.sharding.shard_shape(kernel.shape), (4, 16))
        self.assertEqual(second_moment.sharding, kernel.sharding)

    def test_a_run_goes_on_on_another_mesh(self):
        folder = self.create_tempdir().full_path
        two = toy_run.partitioner_of(2, devices=jax.devices()[:2])
        _, first = toy_run.train(two, folder, steps=6)
        result, second = toy_run.train(toy_run.partitioner_of(4), folder, steps=12)
        self.assertEqual(result.steps, 6)
        np.testing.assert_allclose(first + second, self.expected()[0], rtol=LOSS_RTOL)
        saved = os.path.join(folder, "numpy_checkpoints", "checkpoint_12", programs.PROMPT)
        np.testing.assert_array_equal(np.load(saved), result.state.params[toy_run.PROMPT])


if __name__ == "__main__":
    absltest.main()
