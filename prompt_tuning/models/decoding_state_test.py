# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from prompt_tuning.models import decoding, decoding_state


class DecodingStateTest(absltest.TestCase):
    def test_map_rows_leaves_scalars_alone(self):
        cache = {"index": jnp.int32(3), "layers": (jnp.ones((2, 4)),)}
        mapped = decoding_state.map_rows(lambda x: x + 1, cache)
        self.assertEqual(int(mapped["index"]), 3)
        np.testing.assert_array_equal(mapped["layers"][0], np.full((2, 4), 2.0))

    def test_repeated_rows_are_neighbours(self):
        x = jnp.array([[1, 2], [3, 4]])
        repeated = decoding_state.repeat_rows(x, 2)
        np.testing.assert_array_equal(repeated, [[1, 2], [1, 2], [3, 4], [3, 4]])
        self.assertIs(decoding_state.repeat_rows(x, 1), x)

    def test_gather_beams_picks_within_each_example(self):
        tree = (jnp.arange(6).reshape(2, 3), jnp.arange(12).reshape(2, 3, 2))
        first, second = decoding_state.gather_beams(tree, jnp.array([[2, 0], [1, 1]]))
        np.testing.assert_array_equal(first, [[2, 0], [4, 4]])
        np.testing.assert_array_equal(second, [[[4, 5], [0, 1]], [[8, 9], [8, 9]]])

    def test_the_door_has_t5x_names(self):
        for name in ("DecodingState", "SamplingLoopState", "beam_search", "brevity_penalty"):
            self.assertTrue(callable(getattr(decoding, name)), name)
        self.assertAlmostEqual(float(decoding.brevity_penalty(0.5, 19)), 2.0, places=6)


if __name__ == "__main__":
    absltest.main()
