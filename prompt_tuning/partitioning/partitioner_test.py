# SPDX-License-Identifier: Apache-2.0
"""Tests of placing arrays on eight virtual devices."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax.sharding import PartitionSpec as P

from prompt_tuning.models import activation_axes
from prompt_tuning.partitioning import axis_rules, mesh, partitioner

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")

KERNEL = "encoder/layers_0/mlp/wi_0/kernel"
PROMPT = "encoder/prompt/prompt/prompt"
FULLY_SHARDED = (*axis_rules.STANDARD, ("embed", "data"))


def make(num_partitions=4, rules=None):
    return partitioner.Partitioner(mesh.make_mesh(num_partitions), rules)


class RecordedArray:
    """An array that notes what is read of it."""

    def __init__(self, values):
        self.values, self.reads, self._lock = values, [], threading.Lock()

    def part(self, index):
        with self._lock:
            self.reads.append(self.values[index].size)
        return self.values[index]


class PlacesTest(parameterized.TestCase):
    def test_one_device_is_the_default(self):
        part = partitioner.Partitioner()
        self.assertEqual((part.mesh.size, part.data_parallelism, part.batch_shard), (1, 1, (0, 1)))

    def test_parameters(self):
        part = make()
        self.assertEqual(part.parameter_sharding(KERNEL, (16, 32)).spec, P(None, "model"))
        self.assertEqual(part.parameter_sharding(PROMPT, (8, 16)).spec, P())

    def test_fully_sharded_parameters(self):
        part = make(rules=FULLY_SHARDED)
        self.assertEqual(part.parameter_sharding(KERNEL, (16, 32)).spec, P("data", "model"))
        self.assertEqual(part.parameter_sharding(PROMPT, (8, 16)).spec, P())

    def test_slots_lie_like_their_parameter(self):
        part = make(rules=FULLY_SHARDED)
        slot = part.slot_sharding(KERNEL, (16, 32), (16, 32))
        self.assertEqual(slot, part.parameter_sharding(KERNEL, (16, 32)))
        for shape in ((16,), (1,)):
            self.assertEqual(part.slot_sharding(KERNEL, (16, 32), shape), part.whole)

    def test_batches(self):
        part = make(2)
        tokens = np.arange(24, dtype=np.int32).reshape(8, 3)
        placed = part.put_batch({"tokens": tokens})["tokens"]
        self.assertEqual(placed.addressable_shards[0].data.shape, (2, 3))
        np.testing.assert_array_equal(placed, tokens)
        odd = part.put_batch({"tokens": tokens[:3]})["tokens"]
        self.assertTrue(odd.is_fully_replicated)

    def test_a_batch_that_copies_cannot_share(self):
        make(2).check_batch_size(8)
        with self.assertRaisesRegex(ValueError, "batch size is 6, which 4 copies.*--batch_size"):
            make(2).check_batch_size(6)

    @parameterized.parameters(0, 1)
    def test_rows_of_a_shard_are_rows_of_the_batch(self, index):
        rows = np.arange(10).reshape(5, 2)
        whole = np.concatenate([rows - 10 * index, rows - 10 * index + 10])
        wanted = (slice(5 * index + 1, 5 * index + 3), slice(None))
        found = partitioner._rows_of_shard(rows, 5 * index, wanted)
        np.testing.assert_array_equal(found, whole[wanted])


class ReadTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("model", None, 16 * 32 // 4, 4), ("fully_sharded", FULLY_SHARDED, 16 * 32 // 8, 8)
    )
    def test_pieces_are_read_once_and_never_more_than_a_piece(self, rules, size, pieces):
        values = np.random.RandomState(0).normal(size=(16, 32)).astype(np.float32)
        stored = RecordedArray(values)
        found = make(rules=rules).read(KERNEL, (16, 32), np.float32, stored.part)
        self.assertEqual(stored.reads, [size] * pieces)
        np.testing.assert_array_equal(found, values)

    def test_a_whole_array_is_read_once(self):
        stored = RecordedArray(np.ones((8, 16), np.float32))
        make().read(PROMPT, (8, 16), np.float32, stored.part)
        self.assertEqual(stored.reads, [8 * 16])

    def test_scalars_and_several_arrays(self):
        part = make()
        arrays = {
            name: (np.shape(value), np.float32, RecordedArray(value).part)
            for name, value in {"a": np.float32(3), PROMPT: np.ones((8, 16))}.items()
        }
        found = part.read_all(arrays)
        self.assertEqual(float(found["a"]), 3.0)
        self.assertEqual(found[PROMPT].dtype, jnp.float32)


class JitTest(absltest.TestCase):
    def test_named_activations_lie_by_the_rules(self):
        part, seen = make(), []

        def function(x):
            x = activation_axes.named(x, "batch", "length", "mlp")
            jax.debug.inspect_array_sharding(x, callback=seen.append)
            return x * 2.0

        part.jit(function)(jnp.ones((4, 3, 8)))
        self.assertEqual(seen[0].shard_shape((4, 3, 8)), (2, 3, 2))

    def test_results_for_the_host_are_whole(self):
        part = make()
        rows = part.put_batch({"rows": np.ones((4, 3), np.float32)})["rows"]
        found = part.jit_to_host(lambda x: (x + 1.0, x.sum()))(rows)
        self.assertTrue(all(value.is_fully_replicated for value in found))

    def test_products_are_those_of_one_device(self):
        random = np.random.RandomState(0)
        x, kernel = random.normal(size=(8, 16)), random.normal(size=(16, 32))
        for rules in (None, FULLY_SHARDED):
            part = make(rules=rules)
            placed = part.place(KERNEL, kernel.astype(np.float32))
            rows = part.put_batch({"x": x.astype(np.float32)})["x"]
            found = part.jit_to_host(lambda rows, kernel: rows @ kernel)(rows, placed)
            np.testing.assert_allclose(found, x @ kernel, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    absltest.main()
