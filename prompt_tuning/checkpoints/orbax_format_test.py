# SPDX-License-Identifier: Apache-2.0
"""Tests of reading Orbax items, on items assembled here in the layouts that Orbax has used."""

import json
import os

import numpy as np
import tensorstore as ts
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import orbax_format, paths, t5x_format

_ARRAYS = {
    ("state", "step"): np.asarray(12, np.int32),
    ("target", "encoder", "w"): np.arange(6, dtype=np.float32).reshape(2, 3),
}


def write_item(step_dir: str, *, ocdbt: bool = True, zarr3: bool = False) -> None:
    """`step_dir/state` with `_ARRAYS`, and one entry without an array."""
    item = os.path.join(step_dir, "state")
    for key, array in _ARRAYS.items():
        name = ".".join(key)
        base = paths.kvstore_spec(item)
        folder = {"driver": "ocdbt", "base": base, "path": name + "/"}
        spec = {
            "driver": "zarr3" if zarr3 else "zarr",
            "kvstore": folder if ocdbt else paths.kvstore_spec(os.path.join(item, name)),
        }
        store = ts.open(spec, create=True, dtype=array.dtype, shape=array.shape).result()
        store.write(array).result()
    empty = ("state", "param_states", "encoder", "w")
    tree = {
        str(key): {
            "key_metadata": [{"key": part, "key_type": 2} for part in key],
            "value_metadata": {"value_type": kind, "skip_deserialize": kind == "None"},
        }
        for key, kind in [*((key, "jax.Array") for key in _ARRAYS), (empty, "None")]
    }
    metadata = {"tree_metadata": tree, "use_zarr3": zarr3}
    paths.write_bytes(os.path.join(item, "_METADATA"), json.dumps(metadata).encode())


class OrbaxFormatTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.step_dir = os.path.join(self.root, "checkpoint_12")

    @parameterized.parameters(
        dict(ocdbt=True),
        dict(ocdbt=False),
        dict(ocdbt=True, zarr3=True),
        dict(ocdbt=False, zarr3=True),
    )
    def test_every_layout(self, **layout):
        write_item(self.step_dir, **layout)
        leaves = orbax_format.read_leaves(self.step_dir)
        self.assertEqual(set(leaves), {"state/step", "target/encoder/w"})
        leaf = leaves["target/encoder/w"]
        self.assertEqual((leaf.shape, leaf.dtype), ((2, 3), np.float32))
        np.testing.assert_array_equal(leaf.get(), _ARRAYS["target", "encoder", "w"])

    def test_is_found_by_open_checkpoint(self):
        write_item(self.step_dir)
        for path in (self.root, self.step_dir):
            checkpoint = t5x_format.open_checkpoint(path)
            self.assertEqual(checkpoint.step, 12)
            self.assertEqual(list(checkpoint.target()), ["encoder/w"])

    def test_a_lost_array_is_named(self):
        write_item(self.step_dir, ocdbt=False)
        paths.remove_directory(os.path.join(self.step_dir, "state", "target.encoder.w"))
        with self.assertRaisesRegex(
            FileNotFoundError, "target/encoder/w should be in .*target.encoder.w"
        ):
            orbax_format.read_leaves(self.step_dir)

    @parameterized.parameters(b"{", b"[]", b"{}", b'{"tree_metadata": {"a": {}}}', b"\xff")
    def test_damaged_metadata(self, content):
        index = os.path.join(self.step_dir, "state", "_METADATA")
        paths.write_bytes(index, content)
        with self.assertRaisesRegex(
            ValueError, "_METADATA is not the metadata of an Orbax checkpoint"
        ):
            orbax_format.read_leaves(self.step_dir)


if __name__ == "__main__":
    absltest.main()
