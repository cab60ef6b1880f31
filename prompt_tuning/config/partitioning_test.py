# SPDX-License-Identifier: Apache-2.0
"""Tests of the partitioning settings."""

from absl.testing import absltest, parameterized

from prompt_tuning.config import partitioning


class PartitioningTest(parameterized.TestCase):
    def test_rules_of_t5x(self):
        rules = dict(partitioning.standard_logical_axis_rules())
        self.assertEqual(rules["batch"], "data")
        for axis in ("vocab", "mlp", "heads", "joined_kv"):
            self.assertEqual(rules[axis], "model")
        self.assertIsNone(rules["embed"])
        self.assertIsNone(rules["kv"])

    @parameterized.parameters(
        (1, 1, [None]), (2, 1, ["model", None]), (1, 2, ["data"]), (2, 2, ["model", "data"])
    )
    def test_embed_by_dimensions(self, activation, parameter, expected):
        rules = partitioning.standard_logical_axis_rules(activation, parameter)
        self.assertEqual([mesh for axis, mesh in rules if axis == "embed"], expected)

    def test_additional_rules_come_last(self):
        prompt = partitioning.prompt_logical_axis_rules()
        rules = partitioning.standard_logical_axis_rules(additional_rules=prompt)
        self.assertEqual(tuple(rules[-2:]), (("prompt", None), ("prompt_embed", None)))

    @parameterized.parameters(
        ({"activation_partitioning_dims": 3},), ({"parameter_partitioning_dims": 0},)
    )
    def test_wrong_dimensions(self, arguments):
        with self.assertRaisesRegex(ValueError, "accepted are 1 and 2"):
            partitioning.standard_logical_axis_rules(**arguments)

    def test_whole_and_split_models_are_accepted(self):
        partitioning.PjitPartitioner()
        partitioning.PjitPartitioner(num_partitions=1, model_parallel_submesh=(1, 1, 1, 1))
        partitioning.PjitPartitioner(num_partitions=2)
        partitioning.PjitPartitioner(model_parallel_submesh=(4, 4, 1, 2))

    @parameterized.parameters(
        ({"num_partitions": 0}, "over 0 devices; numbers must be at least 1"),
        ({"model_parallel_submesh": (4, 0, 1, 2)}, "at least 1"),
        ({"model_parallel_submesh": (4, 4)}, "four numbers"),
        ({"ici_mesh_shape": {"data": 1}}, "remove the binding"),
        ({"dcn_mesh_shape": {"data": 1}}, "dcn_mesh_shape is not supported"),
        ({"params_on_devices": False}, "always in device memory"),
    )
    def test_what_is_not_done_is_refused(self, arguments, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            partitioning.PjitPartitioner(**arguments)


if __name__ == "__main__":
    absltest.main()
