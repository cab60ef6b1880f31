# SPDX-License-Identifier: Apache-2.0
"""The counts of programs whose communication is known."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest
from jax.sharding import NamedSharding, PartitionSpec

from tests.benchmarks import collective_bytes

jax.config.update("jax_num_cpu_devices", 8)

_LOOP = """
%body (p: f32[4]) -> f32[4] {
  %r = f32[4]{0} all-reduce(f32[4]{0} %p), to_apply=%add
}
ENTRY %main (p: f32[4]) -> f32[4] {
  %g = bf16[8,2]{1,0} all-gather(bf16[8,1] %p), dimensions={1}
  ROOT %w = f32[4]{0} while(f32[4] %p), condition=%c, body=%body%TRIPS
}
"""


class CollectiveBytesTest(absltest.TestCase):
    def test_a_loop_counts_as_often_as_it_runs(self):
        text = _LOOP.replace("%TRIPS", ', backend_config={"known_trip_count":{"n":"24"}}')
        found = collective_bytes.collective_bytes(text)
        self.assertEqual(found, {"all-gather": 32, "all-reduce": 24 * 16})

    def test_a_loop_of_unknown_length_is_not_guessed(self):
        with self.assertRaisesRegex(ValueError, "loop body"):
            collective_bytes.collective_bytes(_LOOP.replace("%TRIPS", ""))

    def test_what_xla_makes_of_sums_in_a_loop(self):
        mesh = jax.sharding.Mesh(np.array(jax.devices()), ("model",))
        rows = NamedSharding(mesh, PartitionSpec(None, "model"))
        columns = NamedSharding(mesh, PartitionSpec("model", None))
        whole = NamedSharding(mesh, PartitionSpec())

        def step(x, _):
            hidden = jax.lax.with_sharding_constraint(x @ wide, rows)
            return jax.lax.with_sharding_constraint(jnp.tanh(hidden @ narrow), whole), None

        wide, narrow = (jnp.ones((16, 32)), jnp.ones((32, 16)))

        def program(x, wide_, narrow_):
            nonlocal wide, narrow
            wide, narrow = wide_, narrow_
            return jax.lax.scan(step, x, None, length=5)[0]

        arguments = [
            jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)
            for shape, sharding in (((4, 16), whole), ((16, 32), rows), ((32, 16), columns))
        ]
        text = jax.jit(program).lower(*arguments).compile().as_text()
        found = collective_bytes.collective_bytes(text)
        self.assertEqual(found.get("all-reduce"), 5 * 4 * 16 * 4, found)


if __name__ == "__main__":
    absltest.main()
