# SPDX-License-Identifier: Apache-2.0
"""One layer of XXL's width on 16 devices: what XLA says must be what the shapes say."""

import jax
from absl.testing import absltest

from tests.benchmarks import topology_report

jax.config.update("jax_num_cpu_devices", 16)

# Of an encoder and a decoder layer, in bfloat16, with the two tables; norms are small beside them.
_ATTENTION, _MLP, _TABLE = 4 * 4096 * 4096, 3 * 4096 * 10240, 32128 * 4096
_BYTES = 2 * (3 * _ATTENTION + 2 * _MLP + 2 * _TABLE)
# The prompt and its second moment, float32, are whole on every device.
_PROMPT = 2 * 4 * 100 * 4096


class TopologyReportTest(absltest.TestCase):
    def test_a_device_holds_its_part(self):
        split = topology_report.figures(1, 16, False)
        sharded = topology_report.figures(1, 16, True)
        self.assertAlmostEqual(split.weights / (_BYTES / 8 + _PROMPT), 1.0, delta=0.005)
        self.assertAlmostEqual(sharded.weights / (_BYTES / 16 + _PROMPT), 1.0, delta=0.005)
        self.assertGreater(sharded.traffic["all-gather"], split.traffic.get("all-gather", 0))
        self.assertStartsWith(sharded.row(), "| 16 | 2 x 8 | embed over data | 32 |")


if __name__ == "__main__":
    absltest.main()
