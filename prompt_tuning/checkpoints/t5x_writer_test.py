# SPDX-License-Identifier: Apache-2.0
"""Tests of writing; the bytes are compared with T5X's own in tests/compatibility."""

import os
from unittest import mock

import ml_dtypes
import msgpack
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.checkpoints import lazy_array, paths, t5x_format, t5x_writer

_PROMPT = "encoder/prompt/prompt/prompt"
_TARGET = {
    _PROMPT: np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32),
    "encoder/scale": np.ones(8, np.float32),
}
_SLOTS = {
    f"{_PROMPT}/v": np.full((5, 8), 0.5, np.float32),
    f"{_PROMPT}/v_row": np.zeros(1, np.float32),
}


class WriteCheckpointTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = os.path.join(self.create_tempdir().full_path, "run")

    def index(self, folder: str) -> dict:
        return msgpack.unpackb(paths.read_bytes(f"{folder}/checkpoint"))["optimizer"]

    @parameterized.parameters("local", "memory://write_then_read")
    def test_what_is_written_is_read(self, root):
        root = self.model_dir if root == "local" else root
        folder = t5x_format.write_checkpoint(root, 7, _TARGET, _SLOTS)
        self.assertEqual(folder, f"{root}/checkpoint_7")
        checkpoint = t5x_format.open_checkpoint(root)
        self.assertEqual(checkpoint.step, 7)
        arrays = t5x_format.read_arrays(checkpoint.leaves)
        for name, value in _TARGET.items():
            np.testing.assert_array_equal(arrays[f"target/{name}"], value)
        for name, value in _SLOTS.items():
            np.testing.assert_array_equal(arrays[f"state/param_states/{name}"], value)

    def test_which_arrays_are_beside_the_index(self):
        folder = t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, _SLOTS)
        prompt = "encoder.prompt.prompt.prompt"
        self.assertCountEqual(
            os.listdir(folder),
            [
                "checkpoint",
                f"target.{prompt}",
                "target.encoder.scale",
                f"state.param_states.{prompt}.v",
            ],
        )

    def test_parameters_without_slots_are_nil(self):
        folder = t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, _SLOTS)
        self.assertIsNone(self.index(folder)["state"]["param_states"]["encoder"]["scale"])

    @parameterized.parameters((None,), ({},))
    def test_weights_alone(self, slots):
        folder = t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, slots)
        self.assertEqual(list(self.index(folder)["state"]), ["step"])

    def test_only_parameters_take_the_save_dtype(self):
        t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, _SLOTS, save_dtype="bfloat16")
        leaves = t5x_format.open_checkpoint(self.model_dir).leaves
        self.assertEqual(leaves[f"target/{_PROMPT}"].dtype, ml_dtypes.bfloat16)
        self.assertEqual(leaves[f"state/param_states/{_PROMPT}/v"].dtype, np.float32)
        np.testing.assert_array_equal(
            leaves[f"target/{_PROMPT}"].get(), _TARGET[_PROMPT].astype(ml_dtypes.bfloat16)
        )

    def test_save_dtype_none_keeps_every_dtype(self):
        t5x_format.write_checkpoint(
            self.model_dir, 7, {"a": np.zeros(2, np.float16), "b": np.zeros(2)}, save_dtype=None
        )
        target = t5x_format.open_checkpoint(self.model_dir).target()
        self.assertEqual([target["a"].dtype, target["b"].dtype], [np.float16, np.float64])

    @parameterized.parameters("float32", "bfloat16", None)
    def test_arrays_that_are_read_when_they_are_written(self, dtype):
        lazy = {name: lazy_array.InlineArray(name, value) for name, value in _TARGET.items()}
        # One array fills a group, so each is a group of its own.
        with mock.patch.object(t5x_writer, "_GROUP_BYTES", 1):
            got = t5x_format.write_checkpoint(self.model_dir, 1, lazy, _SLOTS, save_dtype=dtype)
        expected = t5x_format.write_checkpoint(f"{self.model_dir}2", 1, _TARGET, _SLOTS, dtype)
        files = [
            os.path.join(os.path.relpath(folder, expected), name)
            for folder, _, names in os.walk(expected)
            for name in names
        ]
        self.assertGreater(len(files), 6)
        for file in files:
            self.assertEqual(
                paths.read_bytes(f"{got}/{file}"), paths.read_bytes(f"{expected}/{file}")
            )

    def test_extra_files(self):
        folder = t5x_format.write_checkpoint(
            self.model_dir, 7, _TARGET, extra_files={"data_position.json": b"{}"}
        )
        self.assertEqual(paths.read_bytes(f"{folder}/data_position.json"), b"{}")

    @parameterized.parameters("checkpoint", "a/b", "..", "target.encoder.scale")
    def test_extra_files_do_not_replace_the_checkpoint(self, name):
        with self.assertRaisesRegex(ValueError, "cannot be the name"):
            t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, extra_files={name: b""})
        self.assertEqual(paths.list_names(self.model_dir), [])

    def test_an_existing_step_is_left_alone(self):
        t5x_format.write_checkpoint(self.model_dir, 7, _TARGET)
        self.assertIsNone(t5x_format.write_checkpoint(self.model_dir, 7, {"other": np.zeros(2)}))
        self.assertCountEqual(t5x_format.open_checkpoint(self.model_dir).target(), _TARGET)

    def test_an_unfinished_folder_of_that_name_is_set_aside(self):
        paths.write_bytes(f"{self.model_dir}/checkpoint_7/notes", b"mine")
        self.assertIsNotNone(t5x_format.write_checkpoint(self.model_dir, 7, _TARGET))
        (backup,) = (name for name in os.listdir(self.model_dir) if "backup" in name)
        self.assertEqual(paths.read_bytes(f"{self.model_dir}/{backup}/notes"), b"mine")

    def test_nothing_remains_of_a_failed_write(self):
        with mock.patch.object(paths, "write_bytes", side_effect=OSError("disk full")):
            with self.assertRaisesRegex(OSError, "disk full"):
                t5x_format.write_checkpoint(self.model_dir, 7, _TARGET)
        self.assertEqual(paths.list_names(self.model_dir), [])

    def test_the_final_name_appears_only_when_all_is_written(self):
        seen = []
        write = paths.write_bytes

        def watching(path, data):
            seen.extend(t5x_format.checkpoint_steps(self.model_dir))
            write(path, data)

        with mock.patch.object(paths, "write_bytes", watching):
            t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, extra_files={"x": b""})
        self.assertEqual(seen, [])
        self.assertEqual(os.listdir(self.model_dir), ["checkpoint_7"])

    @parameterized.parameters(
        ({"a": np.zeros(2), "a/b": np.zeros(2)}, "a/b lies below another array"),
        ({"a//b": np.zeros(2)}, "empty part"),
        ({"a/b": np.zeros(2), "a.b": np.zeros(2)}, "share a folder"),
    )
    def test_unusable_names(self, target, message):
        with self.assertRaisesRegex(ValueError, message):
            t5x_format.write_checkpoint(self.model_dir, 7, target)

    def test_a_slot_needs_its_parameter(self):
        with self.assertRaisesRegex(ValueError, "slot encoder/w/v belongs to no parameter"):
            t5x_format.write_checkpoint(self.model_dir, 7, _TARGET, {"encoder/w/v": np.zeros(1)})

    def test_an_empty_prompt(self):
        t5x_format.write_checkpoint(self.model_dir, 7, {_PROMPT: np.zeros((0, 8), np.float32)})
        self.assertEqual(
            t5x_format.open_checkpoint(self.model_dir).target()[_PROMPT].get().shape, (0, 8)
        )


class ChunkShapeTest(parameterized.TestCase):
    @parameterized.parameters(
        ((32128, 512), [32128, 512]),
        ((32128, 768), [16064, 768]),
        ((32128, 2048), [8032, 2048]),
        ((32128, 4096), [4016, 4096]),
        ((250112, 4096), [3908, 4096]),
        ((4096, 10240), [4096, 2560]),
        ((8, 32), [8, 32]),
        ((), []),
    )
    def test_shapes_of_t5_sizes(self, shape, chunks):
        self.assertEqual(t5x_writer.chunk_shape(shape, 4), chunks)

    @settings(deadline=None)
    @given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 4000))
    def test_chunks_fit_and_divide(self, shape, limit):
        with mock.patch.object(t5x_writer, "CHUNK_BYTES", limit * 4):
            chunks = t5x_writer.chunk_shape(tuple(shape), 4)
        self.assertLessEqual(np.prod(chunks), limit)
        self.assertFalse(any(length % chunk for length, chunk in zip(shape, chunks, strict=True)))

    def test_a_chunked_array_is_read_whole(self):
        # 60 values of 4 bytes in chunks of at most 64 bytes: [6, 10] -> [6, 5] -> [3, 5].
        array = np.arange(60, dtype=np.float32).reshape(6, 10)
        model_dir = self.create_tempdir().full_path
        with mock.patch.object(t5x_writer, "CHUNK_BYTES", 64):
            folder = t5x_format.write_checkpoint(model_dir, 0, {"w": array})
        self.assertLen(os.listdir(f"{folder}/target.w"), 5)
        np.testing.assert_array_equal(
            t5x_format.open_checkpoint(model_dir).target()["w"].get(), array
        )


if __name__ == "__main__":
    absltest.main()
