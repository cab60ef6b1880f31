# SPDX-License-Identifier: Apache-2.0
"""Tests of what a run makes of its partitioning settings."""

import types
from unittest import mock

import jax
from absl.testing import absltest, parameterized

from prompt_tuning.config import dataset_config, partitioning
from prompt_tuning.partitioning import partitioner
from prompt_tuning.runs import topology

jax.config.update("jax_num_cpu_devices", 8)


def dataset(seed=None):
    return dataset_config.DatasetConfig(
        "task", {"inputs": 8, "targets": 4}, "train", 16, True, seed
    )


class TopologyTest(parameterized.TestCase):
    def test_without_settings_every_device_has_a_whole_model(self):
        self.assertEqual(topology.partitioner_of(None).mesh.devices.shape, (8, 1))

    @parameterized.parameters(
        ({"num_partitions": 2}, (4, 2)), ({"model_parallel_submesh": (2, 2, 1, 1)}, (2, 4))
    )
    def test_settings(self, settings, shape):
        rules = partitioning.standard_logical_axis_rules(parameter_partitioning_dims=2)
        settings = partitioning.PjitPartitioner(logical_axis_rules=rules, **settings)
        part = topology.partitioner_of(settings)
        self.assertEqual(part.mesh.devices.shape, shape)
        self.assertIn(("embed", "data"), part.rules)

    def test_a_backend_that_is_not_there(self):
        settings = partitioning.PjitPartitioner(backend="abacus")
        with self.assertRaisesRegex(ValueError, "no backend 'abacus'.*PjitPartitioner.backend"):
            topology.partitioner_of(settings)

    def test_one_process_makes_whole_batches_in_the_configured_order(self):
        part = topology.partitioner_of(None)
        self.assertEqual(
            topology.data_arguments(part, dataset(seed=3)),
            {"shard_index": 0, "num_shards": 1, "seed": 3},
        )

    def test_rows_are_grouped_on_one_cpu_only(self):
        buckets = {"inputs": (16, 32), "targets": (4,)}
        part = partitioner.Partitioner()
        groups = topology.row_groups(part, buckets)
        self.assertGreaterEqual(groups.most_rows, 8)
        self.assertEqual(groups.widths, {"encoder": (16, 32), "decoder": (4,)})
        self.assertIsNone(topology.row_groups(topology.partitioner_of(None), buckets))

    @parameterized.parameters(
        ({"sched_getaffinity": lambda pid: set(range(32)), "cpu_count": lambda: 64}, 64),
        ({"cpu_count": lambda: 16}, 32),  # macOS tells no affinity.
        ({"cpu_count": lambda: None}, 8),
    )
    def test_rows_for_each_core(self, system, rows):
        buckets = {"inputs": (16,), "targets": (4,)}
        with mock.patch.object(topology, "os", types.SimpleNamespace(**system)):
            groups = topology.row_groups(partitioner.Partitioner(), buckets)
        self.assertEqual(groups.most_rows, rows)

    def test_without_a_seed_the_leaders_order_is_everybodys(self):
        part = topology.partitioner_of(None)
        with mock.patch.object(topology.processes, "of_leader", return_value=5) as asked:
            self.assertEqual(topology.data_arguments(part, dataset())["seed"], 5)
        asked.assert_called_once()


if __name__ == "__main__":
    absltest.main()
