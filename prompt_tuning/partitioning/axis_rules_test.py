# SPDX-License-Identifier: Apache-2.0
"""Tests of T5X's axis rules."""

from absl.testing import absltest, parameterized
from jax.sharding import PartitionSpec as P

from prompt_tuning.partitioning import axis_rules

SIZES = {"data": 2, "model": 4}
FULLY_SHARDED = (*axis_rules.STANDARD, ("embed", "data"))
TWO_DIMENSIONS = (*axis_rules.STANDARD, ("embed", "model"), ("embed", "data"))


class AxisRulesTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("kernel", ("embed", "mlp"), (16, 32), axis_rules.STANDARD, P(None, "model")),
        ("table", ("vocab", "embed"), (32, 16), axis_rules.STANDARD, P("model", None)),
        ("norm", ("embed",), (16,), axis_rules.STANDARD, P(None)),
        ("activation", ("batch", "length", "embed"), (4, 3, 16), axis_rules.STANDARD,
         P("data", None, None)),
        ("sharded_kernel", ("embed", "mlp"), (16, 32), FULLY_SHARDED, P("data", "model")),
        ("activations_stay", ("batch", "length", "embed"), (4, 3, 16), FULLY_SHARDED,
         P("data", None, None)),
        ("both_taken", ("embed", "mlp"), (16, 32), TWO_DIMENSIONS, P("data", "model")),
        ("embed_on_model", ("batch", "length", "embed"), (4, 3, 16), TWO_DIMENSIONS,
         P("data", None, "model")),
        ("no_name", (None, "batch"), (3, 4), axis_rules.STANDARD, P(None, "data")),
        ("heads_that_do_not_divide", ("heads", "kv"), (6, 8), axis_rules.STANDARD, P(None, None)),
        ("rows_that_do_not_divide", ("batch",), (3,), axis_rules.STANDARD, P(None)),
    )  # fmt: skip
    def test_where_axes_lie(self, axes, shape, rules, expected):
        self.assertEqual(axis_rules.partition_spec(axes, shape, rules, SIZES), expected)

    def test_an_axis_is_used_once(self):
        found = axis_rules.partition_spec(("mlp", "heads"), (8, 8), axis_rules.STANDARD, SIZES)
        self.assertEqual(found, P("model", None))

    def test_a_first_rule_for_none_decides(self):
        rules = (("embed", None), ("embed", "data"))
        self.assertEqual(axis_rules.partition_spec(("embed",), (8,), rules, SIZES), P(None))

    def test_unknown_mesh_axis(self):
        with self.assertRaisesRegex(ValueError, "'modle'.*accepted are data, model and None"):
            axis_rules.partition_spec(("mlp",), (8,), (("mlp", "modle"),), SIZES)


if __name__ == "__main__":
    absltest.main()
