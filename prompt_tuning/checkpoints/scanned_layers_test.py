# SPDX-License-Identifier: Apache-2.0
"""Tests of reading checkpoints with scanned layers."""

import numpy as np
from absl.testing import absltest

from prompt_tuning.checkpoints import lazy_array, scanned_layers, t5x_format

_LAYERS = 3


def _unscanned() -> dict[str, np.ndarray]:
    """Parameters of a small encoder-decoder, layer by layer, all values different."""
    shapes = {"attention/query/kernel": (4, 6), "pre_mlp_layer_norm/scale": (4,)}
    params, start = {"token_embedder/embedding": np.ones((8, 4), np.float32)}, 0
    for stack in ("encoder", "decoder"):
        for index in range(_LAYERS):
            for name, shape in shapes.items():
                size = int(np.prod(shape))
                values = np.arange(start, start + size, dtype=np.float32).reshape(shape)
                params[f"{stack}/layers_{index}/{name}"] = values
                start += size
    return params


def _scanned(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As Flaxformer stores them with scan_layers."""
    result = {name: value for name, value in params.items() if "layers_" not in name}
    for name in params:
        if "/layers_0/" in name:
            layers = [params[name.replace("layers_0", f"layers_{i}")] for i in range(_LAYERS)]
            stack = name.split("/")[0]
            result[name.replace("layers_0", stack)] = np.stack(layers, axis=1)
    return result


class CountingArray(lazy_array.InlineArray):
    reads = 0

    def _read(self):
        self.reads += 1
        return super()._read()


class UnstackTest(absltest.TestCase):
    def test_layers_of_a_checkpoint(self):
        folder, params = self.create_tempdir().full_path, _unscanned()
        t5x_format.write_checkpoint(folder, 3, _scanned(params))
        leaves = scanned_layers.unstack(t5x_format.open_checkpoint(folder).leaves)
        self.assertCountEqual(leaves, ["state/step", *(f"target/{name}" for name in params)])
        arrays = t5x_format.read_arrays(leaves)
        for name, value in params.items():
            self.assertEqual(leaves[f"target/{name}"].shape, value.shape)
            np.testing.assert_array_equal(arrays[f"target/{name}"], value, err_msg=name)

    def test_other_checkpoints_stay_as_they_are(self):
        leaves = {
            f"target/{name}": lazy_array.InlineArray(name, value)
            for name, value in _unscanned().items()
        }
        self.assertEqual(scanned_layers.unstack(leaves), leaves)

    def test_every_stack_is_read_once_and_then_dropped(self):
        stacked = CountingArray("target/encoder/encoder/x", np.zeros((4, 3, 2)))
        leaves = scanned_layers.unstack({stacked.name: stacked})
        t5x_format.read_arrays(leaves)
        self.assertEqual(stacked.reads, 1)
        t5x_format.read_arrays(leaves)
        self.assertEqual(stacked.reads, 2)

    def test_a_part_of_the_layers_may_be_read_again(self):
        stacked = CountingArray("target/encoder/encoder/x", np.arange(6).reshape(2, 3))
        layer = scanned_layers.unstack({stacked.name: stacked})["target/encoder/layers_1/x"]
        np.testing.assert_array_equal(layer.get(), [1, 4])
        np.testing.assert_array_equal(layer.get(), [1, 4])
        self.assertEqual(stacked.reads, 1)

    def test_another_axis(self):
        stacked = lazy_array.InlineArray("target/decoder/decoder/x", np.arange(6).reshape(2, 3))
        leaves = scanned_layers.unstack({stacked.name: stacked}, axis=0)
        np.testing.assert_array_equal(leaves["target/decoder/layers_1/x"].get(), [3, 4, 5])

    def test_no_such_axis(self):
        name = "target/encoder/encoder/x"
        with self.assertRaisesRegex(ValueError, r"x has shape \(3,\), but .* axis 1"):
            scanned_layers.unstack({name: lazy_array.InlineArray(name, np.zeros(3))})

    def test_both_forms(self):
        names = ("target/encoder/layers_0/x", "target/encoder/encoder/x")
        for order in (names, names[::-1]):
            leaves = {name: lazy_array.InlineArray(name, np.zeros((2, 1))) for name in order}
            with self.assertRaisesRegex(ValueError, "holds target/encoder/layers_0/x twice"):
                scanned_layers.unstack(leaves)


def _leaves(params):
    return {f"target/{name}": lazy_array.InlineArray(name, value) for name, value in params.items()}


class StackTest(absltest.TestCase):
    def test_layers_as_scanned_models_want_them(self):
        params = _unscanned()
        stacked = scanned_layers.stack(_leaves(params))
        expected = _scanned(params)
        self.assertCountEqual(stacked, [f"target/{name}" for name in expected])
        for name, value in expected.items():
            leaf = stacked[f"target/{name}"]
            self.assertEqual((leaf.shape, leaf.dtype), (value.shape, value.dtype))
            np.testing.assert_array_equal(leaf.get(), value)

    def test_there_and_back_with_the_one_table_of_biases(self):
        table = np.arange(8, dtype=np.float32).reshape(2, 4)
        params = _unscanned() | {f"{s}/relpos_bias/rel_embedding": table for s in ("encoder",)}
        for axis in (0, 1):
            stacked = scanned_layers.stack(_leaves(params), axis)
            repeated = stacked["target/encoder/encoder/relpos_bias/rel_embedding"].get()
            np.testing.assert_array_equal(repeated, np.stack([table] * _LAYERS, axis))
            unstacked = scanned_layers.share_biases(scanned_layers.unstack(stacked, axis))
            self.assertCountEqual(unstacked, _leaves(params))
            for name, value in params.items():
                np.testing.assert_array_equal(unstacked[f"target/{name}"].get(), value)

    def test_layers_with_different_tables(self):
        leaves = _leaves(
            {
                f"decoder/layers_{i}/relpos_bias/rel_embedding": np.full((2, 4), i)
                for i in range(_LAYERS)
            }
        )
        with self.assertRaisesRegex(ValueError, "layers_1/relpos.* differs from .*layers_0/relpos"):
            scanned_layers.share_biases(leaves)

    def test_layers_that_do_not_make_a_stack(self):
        for wrong in ({}, {"encoder/layers_1/x": np.zeros(3)}):
            params = {f"encoder/layers_{i}/x": np.zeros(2) for i in (0, 2)}
            with self.assertRaisesRegex(ValueError, "encoder/encoder/x cannot be made of the"):
                scanned_layers.stack(_leaves(params | wrong))


if __name__ == "__main__":
    absltest.main()
