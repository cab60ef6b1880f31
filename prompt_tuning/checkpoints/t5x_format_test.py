# SPDX-License-Identifier: Apache-2.0
"""Tests of reading T5X checkpoints; the index files are assembled here, old writers' included."""

import os
import pathlib
from typing import Any

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import msgpack_arrays, paths, t5x_format
from prompt_tuning.checkpoints.zarr_folders import write_zarr

_W = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)


def old_spec(path: str, driver: str = "gfile", **changes) -> dict[str, Any]:
    """A specification as T5X wrote it in 2022."""
    metadata = {"chunks": [4, 6], "compressor": {"id": "gzip", "level": 1}, "dtype": "<f4"}
    return {
        "driver": "zarr",
        "kvstore": {"driver": driver, "path": path},
        "metadata": metadata | {"shape": [4, 6]},
    } | changes


class OpenCheckpointTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = self.create_tempdir().full_path
        self.step_dir = os.path.join(self.model_dir, "checkpoint_3")

    def write_index(
        self, optimizer: Any, version: int | None = 3, folder: str | None = None
    ) -> str:
        content = {"optimizer": optimizer} | ({} if version is None else {"version": version})
        path = os.path.join(folder or self.step_dir, "checkpoint")
        paths.write_bytes(path, msgpack_arrays.encode(content))
        return path

    def write_old_checkpoint(self, spec: dict[str, Any] | None = None) -> str:
        write_zarr(os.path.join(self.step_dir, "target.encoder.w"), _W)
        return self.write_index(
            {
                "state": {
                    "step": np.asarray(3, np.int32),
                    "param_states": {"encoder": {"w": {"v": np.ones(2, np.float32)}, "s": None}},
                },
                "target": {
                    "encoder": {"w": spec or old_spec("target.encoder.w"), "s": _W[0]},
                    "empty": {},
                },
            }
        )

    def test_leaves_and_target(self):
        self.write_old_checkpoint()
        checkpoint = t5x_format.open_checkpoint(self.model_dir)
        self.assertEqual(checkpoint.step, 3)
        self.assertEqual(checkpoint.directory, self.step_dir)
        self.assertCountEqual(
            checkpoint.leaves,
            [
                "state/step",
                "state/param_states/encoder/w/v",
                "target/encoder/w",
                "target/encoder/s",
            ],
        )
        self.assertCountEqual(checkpoint.target(), ["encoder/w", "encoder/s"])

    def test_shape_and_dtype_are_known_without_reading(self):
        self.write_old_checkpoint()
        paths.remove_directory(os.path.join(self.step_dir, "target.encoder.w"))
        leaf = t5x_format.open_checkpoint(self.model_dir).target()["encoder/w"]
        self.assertEqual((leaf.shape, leaf.dtype), ((4, 6), np.float32))
        with self.assertRaisesRegex(FileNotFoundError, "target/encoder/w"):
            leaf.get()

    @parameterized.named_parameters(
        ("gfile", old_spec("target.encoder.w")),
        ("file_with_slash", old_spec("target.encoder.w/", "file")),
        ("gcs", old_spec("somewhere/checkpoint_3/target.encoder.w", "gcs")),
        (
            "path_beside_kvstore",
            old_spec("", kvstore={"driver": "gfile"}) | {"path": "target.encoder.w"},
        ),
        (
            "dtype_beside_metadata",
            old_spec(
                "target.encoder.w", dtype="float32", metadata={"shape": [4, 6], "chunks": [4, 6]}
            ),
        ),
    )
    def test_specifications_of_other_writers(self, spec):
        self.write_old_checkpoint(spec)
        leaf = t5x_format.open_checkpoint(self.model_dir).target()["encoder/w"]
        np.testing.assert_array_equal(leaf.get(), _W)

    @parameterized.named_parameters(
        ("no_path", old_spec("", kvstore={"driver": "gfile"})),
        ("no_folder", old_spec("/")),
        ("no_shape", old_spec("target.encoder.w", metadata={"dtype": "<f4"})),
        ("other_driver", old_spec("target.encoder.w") | {"driver": "n5"}),
        ("unknown_dtype", old_spec("target.encoder.w", dtype="float9")),
    )
    def test_unusable_specifications_name_the_array(self, spec):
        self.write_old_checkpoint(spec)
        with self.assertRaisesRegex(
            ValueError, "target/encoder/w in .*checkpoint_3 is described by"
        ):
            t5x_format.open_checkpoint(self.model_dir)

    def test_the_path_may_be_the_index_file_or_path_like(self):
        index = self.write_old_checkpoint()
        for path in (index, pathlib.Path(self.step_dir), self.step_dir + "/"):
            self.assertEqual(t5x_format.open_checkpoint(path).step, 3)

    def test_latest_and_chosen_step(self):
        for step in (3, 20):
            folder = os.path.join(self.model_dir, f"checkpoint_{step}")
            self.write_index({"state": {"step": np.int32(step)}, "target": {}}, folder=folder)
        self.assertEqual(t5x_format.open_checkpoint(self.model_dir).step, 20)
        self.assertEqual(t5x_format.open_checkpoint(self.model_dir, step=3).step, 3)

    def test_a_step_folder_of_another_step(self):
        self.write_old_checkpoint()
        self.assertEqual(t5x_format.open_checkpoint(self.step_dir, step=3).step, 3)
        with self.assertRaisesRegex(FileNotFoundError, "checkpoint of step 3, not of 4"):
            t5x_format.open_checkpoint(self.step_dir, step=4)

    def test_a_step_stored_as_a_floating_array(self):
        """Upstream's recreate_checkpoint writes it so."""
        self.write_index({"state": {"step": np.float32(3)}, "target": {}})
        step = t5x_format.open_checkpoint(self.model_dir).step
        self.assertEqual(step, 3)
        self.assertIsInstance(step, int)

    def test_without_a_stored_step_the_folder_name_tells(self):
        self.write_index({"target": {"w": _W}})
        self.assertEqual(t5x_format.open_checkpoint(self.model_dir).step, 3)

    def test_without_any_step(self):
        index = self.write_index({"target": {"w": _W}}, folder=os.path.join(self.model_dir, "x"))
        with self.assertRaisesRegex(ValueError, "stores no step"):
            t5x_format.open_checkpoint(index)

    @parameterized.parameters(None, 1, 4)
    def test_versions_that_are_not_read(self, version):
        self.write_index({"target": {}}, version)
        with self.assertRaisesRegex(ValueError, f"format version {version or 0}; .* 2 and 3"):
            t5x_format.open_checkpoint(self.model_dir)

    def test_every_truncation_of_the_index_is_an_error(self):
        index = self.write_old_checkpoint()
        data = paths.read_bytes(index)
        for length in range(0, len(data), 7):
            paths.write_bytes(index, data[:length])
            with self.subTest(length), self.assertRaisesRegex(ValueError, "checkpoint"):
                t5x_format.open_checkpoint(self.model_dir)

    def test_a_tensorflow_index_is_recognised(self):
        paths.write_bytes(
            os.path.join(self.step_dir, "checkpoint"), b'model_checkpoint_path: "m"\n'
        )
        with self.assertRaisesRegex(ValueError, "TensorFlow"):
            t5x_format.open_checkpoint(self.model_dir)

    def test_index_and_zarr_must_agree_on_the_shape(self):
        self.write_old_checkpoint(
            old_spec(
                "target.encoder.w", metadata={"shape": [6, 4], "dtype": "<f4", "chunks": [6, 4]}
            )
        )
        with self.assertRaisesRegex(ValueError, r"target/encoder/w has shape \(4, 6\)"):
            t5x_format.open_checkpoint(self.model_dir).target()["encoder/w"].get()

    def test_read_arrays_casts_floats_alone(self):
        self.write_old_checkpoint()
        arrays = t5x_format.read_arrays(
            t5x_format.open_checkpoint(self.model_dir).leaves, "bfloat16"
        )
        self.assertEqual(arrays["target/encoder/w"].dtype, ml_dtypes.bfloat16)
        self.assertEqual(arrays["target/encoder/s"].dtype, ml_dtypes.bfloat16)
        self.assertEqual(arrays["state/step"].dtype, np.int32)

    def test_read_arrays_keeps_the_order_of_names(self):
        self.write_old_checkpoint()
        target = t5x_format.open_checkpoint(self.model_dir).target()
        order = ["encoder/s", "encoder/w"]
        self.assertEqual(
            list(t5x_format.read_arrays({name: target[name] for name in order})), order
        )


if __name__ == "__main__":
    absltest.main()
