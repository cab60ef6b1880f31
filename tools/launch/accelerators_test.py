# SPDX-License-Identifier: Apache-2.0
import math

from absl.testing import absltest, parameterized

from tools.launch import accelerators


class AcceleratorsTest(parameterized.TestCase):
    @parameterized.parameters(
        # name, chips, hosts, topology, runtime version
        ("v2-8", 4, 1, "2x2", "tpu-ubuntu2204-base"),
        ("v3-8", 4, 1, "2x2", "tpu-ubuntu2204-base"),
        ("v3-2048", 1024, 256, "32x32", "tpu-ubuntu2204-base"),
        ("v4-8", 4, 1, "2x2x1", "tpu-ubuntu2204-base"),
        ("v4-32", 16, 4, "2x2x4", "tpu-ubuntu2204-base"),
        ("v5litepod-8", 8, 1, "2x4", "v2-alpha-tpuv5-lite"),
        ("v5litepod-64", 64, 16, "8x8", "v2-alpha-tpuv5-lite"),
        ("v5p-12288", 6144, 1536, "16x16x24", "v2-alpha-tpuv5"),
        ("v6e-1", 1, 1, "1x1", "v2-alpha-tpuv6e"),
        ("v6e-16", 16, 4, "4x4", "v2-alpha-tpuv6e"),
    )
    def test_known_slices(self, name, chips, hosts, topology, version):
        found = accelerators.find(name)
        self.assertEqual(found.name, name)
        self.assertEqual(
            (found.chips, found.hosts, found.topology, found.runtime_version),
            (chips, hosts, topology, version),
        )

    def test_every_slice_is_consistent(self):
        self.assertGreater(len(accelerators.SLICES), 40)
        for name, found in accelerators.SLICES.items():
            sides = [int(side) for side in found.topology.split("x")]
            self.assertEqual(math.prod(sides), found.chips, name)
            self.assertEqual(found.hosts * found.chips_per_host, found.chips, name)
            self.assertIn(found.chips_per_host, (1, 4, 8), name)
            flat = name.startswith(("v2", "v3", "v5lite", "v6e"))
            self.assertLen(sides, 2 if flat else 3, name)

    @parameterized.parameters(("v5e-64", "v5litepod-64"), ("v4-032", "v4-32"))
    def test_other_spellings(self, name, canonical):
        self.assertEqual(accelerators.find(name).name, canonical)

    @parameterized.parameters(
        ("v4-33", "v4-32"),
        ("v4-24", "v4-32"),  # Nearest by ratio: 24 is closer to 32 than to 16.
        ("v4-1", "v4-8"),
        ("v3-999999", "v3-2048"),
        ("v5e-60", "v5litepod-64"),
        ("V4-32", "v4-32"),
        ("v4_32", "v4-32"),
    )
    def test_names_the_nearest(self, name, nearest):
        with self.assertRaisesRegex(ValueError, f"nearest valid one is {nearest} "):
            accelerators.find(name)

    def test_message_says_what_there_is_and_what_to_change(self):
        with self.assertRaisesRegex(ValueError, r"v6e comes in 1, 4, 8, .*attribute accelerator"):
            accelerators.find("v6e-2")
        with self.assertRaisesRegex(ValueError, "generations are v2, v3, v4, v5litepod, v5p, v6e"):
            accelerators.find("a100:8")

    @parameterized.parameters(("a100:8", "a100", 8), ("gpu:4", None, 4), ("x.y-1:16", "x.y-1", 16))
    def test_gpus_of_a_node(self, name, kind, count):
        self.assertEqual(accelerators.find_gpus(name), accelerators.Gpus(kind, count))

    @parameterized.parameters("v4-32", "a100", "a100:0", "a100:", ":8", "a100:8x")
    def test_what_is_not_the_gpus_of_a_node(self, name):
        with self.assertRaisesRegex(ValueError, f"'{name}' is not TYPE:COUNT.*attribute accel"):
            accelerators.find_gpus(name)

    def test_gke_has_no_v2(self):
        self.assertIsNone(accelerators.find("v2-8").gke_accelerator)
        self.assertEqual(accelerators.find("v3-8").gke_accelerator, "tpu-v3-device")
        self.assertEqual(accelerators.find("v3-32").gke_accelerator, "tpu-v3-slice")


if __name__ == "__main__":
    absltest.main()
