# SPDX-License-Identifier: Apache-2.0
"""The meshes of four processes that several_processes_test leaves out, and all against one device.

Bit for bit, because the toy's arrays are small: docs/topologies.md. On a machine so busy that one of
four processes lags 30 s behind the others, gloo ends the run.
"""

import io

import numpy as np
from absl.testing import absltest, parameterized

from tests.end_to_end import programs, toy_processes


class EveryMeshTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        cls.alone = toy_processes.trained(cls.folder, "alone", 1, 1)

    @parameterized.named_parameters(
        ("four_copies", {}),
        ("two_copies", {"num_partitions": 2}),
        ("one_copy", {"num_partitions": 4}),
        ("four_fully_sharded_copies", {"fully_sharded": True}),
    )
    def test_four_processes(self, options):
        name = self.id().rpartition(".")[2]
        together = toy_processes.trained(self.folder, f"{name}_together", 1, 4, **options)
        apart = toy_processes.trained(self.folder, f"{name}_apart", 4, 1, **options)
        self.assertEqual(apart, together)
        # Twelve steps of sums in another order; docs/topologies.md.
        np.testing.assert_allclose(apart[1], self.alone[1], rtol=2e-6)
        prompts = [np.load(io.BytesIO(data)) for data, _ in (apart, self.alone)]
        np.testing.assert_allclose(*prompts, rtol=0, atol=2e-6)


if __name__ == "__main__":
    absltest.main()
