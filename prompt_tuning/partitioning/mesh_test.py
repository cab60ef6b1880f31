# SPDX-License-Identifier: Apache-2.0
"""Tests of the grid of devices."""

import dataclasses
import itertools

import jax
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.partitioning import mesh

jax.config.update("jax_num_cpu_devices", 8)


@dataclasses.dataclass(frozen=True)
class TpuCore:
    """What a TPU core says about its place; four chips to a process."""

    coords: tuple[int, int, int]
    core_on_chip: int
    process_index: int


def torus(x: int, y: int, cores: int) -> list[TpuCore]:
    places = itertools.product(range(x), range(y), range(cores))
    return [TpuCore((i, j, 0), core, 2 * (i // 2) + j // 2) for i, j, core in places]


class MeshTest(parameterized.TestCase):
    @parameterized.parameters((None, (8, 1)), (1, (8, 1)), (2, (4, 2)), (8, (1, 8)))
    def test_number_of_partitions(self, partitions, shape):
        found = mesh.make_mesh(partitions)
        self.assertEqual(found.axis_names, ("data", "model"))
        self.assertEqual(found.devices.shape, shape)
        self.assertCountEqual(found.devices.flat, jax.devices())

    def test_without_coordinates_the_product_of_a_submesh_counts(self):
        self.assertEqual(mesh.make_mesh(1, (2, 2, 1, 1)).devices.shape, (2, 4))

    def test_devices_that_copies_cannot_share(self):
        with self.assertRaisesRegex(ValueError, "8 devices.*over 3 devices.*num_partitions"):
            mesh.make_mesh(3)

    def test_a_submesh_is_a_box_of_the_torus(self):
        rows = mesh._boxes(torus(4, 4, 2), (2, 2, 1, 2))
        self.assertLen(rows, 4)
        for row in rows:
            self.assertLen(row, 8)
            corners = {(core.coords[0] // 2, core.coords[1] // 2) for core in row}
            self.assertLen(corners, 1, row)
            self.assertLen({(core.coords, core.core_on_chip) for core in row}, 8)

    def test_boxes_that_do_not_fill_the_torus(self):
        with self.assertRaisesRegex(ValueError, r"boxes of \(4, 4, 1, 2\).*sides that divide"):
            mesh._boxes(torus(6, 4, 2), (4, 4, 1, 2))

    def test_rows_of_a_process_are_neighbours(self):
        # A permutation that a torus may ask for must not scatter a process's rows.
        devices = jax.devices()
        found = mesh.make_mesh(2, devices=[devices[i] for i in np.random.permutation(8)])
        owners = [row[0].process_index for row in found.devices]
        self.assertEqual(owners, sorted(owners))


if __name__ == "__main__":
    absltest.main()
