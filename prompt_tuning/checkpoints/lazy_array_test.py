# SPDX-License-Identifier: Apache-2.0
"""Tests of arrays that are read when asked for, on zarr folders written here."""

import os

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import lazy_array, paths
from prompt_tuning.checkpoints.zarr_folders import write_zarr


class StoredArrayTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.create_tempdir().full_path, "target.w")
        self.array = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)

    def stored(self, shape=(7, 6), dtype="float32") -> lazy_array.StoredArray:
        kvstore = paths.kvstore_spec(self.folder)
        return lazy_array.StoredArray("w", shape, lazy_array.as_dtype(dtype), kvstore)

    @parameterized.named_parameters(
        ("gzip", {}),
        ("no_compressor", {"compressor": None}),
        ("chunks_that_do_not_divide", {"chunks": [4, 4]}),
        ("older_writer", {"chunks": [3, 6], "fill_value": 0.0, "dtype": "<f4"}),
    )
    def test_get(self, metadata):
        write_zarr(self.folder, self.array, **metadata)
        np.testing.assert_array_equal(self.stored().get(), self.array)

    def test_get_casts(self):
        write_zarr(self.folder, self.array)
        np.testing.assert_array_equal(
            self.stored().get("bfloat16"), self.array.astype(ml_dtypes.bfloat16)
        )

    def test_bfloat16_on_disk(self):
        rounded = self.array.astype(ml_dtypes.bfloat16)
        write_zarr(self.folder, rounded)
        got = self.stored(dtype="bfloat16").get(np.float32)
        np.testing.assert_array_equal(got, rounded.astype(np.float32))

    @parameterized.parameters({"chunks": [7, 6]}, {"chunks": [4, 4]})
    def test_take_is_the_flattened_array_at_those_places(self, chunks):
        write_zarr(self.folder, self.array, chunks=chunks)
        places = np.array([0, 5, 6, 41])
        np.testing.assert_array_equal(self.stored().take(places), self.array.reshape(-1)[places])

    @parameterized.product(
        chunks=([7, 6], [4, 4]), rows=(slice(None), slice(2, 5)), columns=(slice(0, 3), slice(5))
    )
    def test_part_is_the_slice(self, chunks, rows, columns):
        write_zarr(self.folder, self.array, chunks=chunks)
        part = self.stored().part((rows, columns), "bfloat16")
        np.testing.assert_array_equal(part, self.array[rows, columns].astype(ml_dtypes.bfloat16))

    def test_part_reads_only_the_chunks_that_it_touches(self):
        write_zarr(self.folder, self.array, chunks=[7, 2])
        os.remove(os.path.join(self.folder, "0.2"))
        part = self.stored().part((slice(None), slice(0, 4)))
        np.testing.assert_array_equal(part, self.array[:, :4])
        with self.assertRaises(ValueError):
            self.stored().part((slice(None), slice(0, 5)))

    def test_part_of_a_scalar_and_of_an_array_in_memory(self):
        write_zarr(self.folder, np.asarray(3, np.int32))
        self.assertEqual(self.stored((), "int32").part(()), 3)
        inline = lazy_array.InlineArray("x", self.array)
        np.testing.assert_array_equal(inline.part((slice(3), slice(2, 4))), self.array[:3, 2:4])

    def test_part_needs_a_slice_for_every_dimension(self):
        write_zarr(self.folder, self.array)
        with self.assertRaisesRegex(ValueError, "w has 2 dimensions; the index has 1"):
            self.stored().part((slice(None),))

    def test_take_of_a_scalar(self):
        write_zarr(self.folder, np.asarray(3, np.int32))
        self.assertEqual(self.stored((), "int32").take(np.array([0])).tolist(), [3])

    def test_another_shape_than_promised(self):
        write_zarr(self.folder, self.array)
        with self.assertRaisesRegex(ValueError, r"w has shape \(7, 6\) .*target.w.* \(6, 7\)"):
            self.stored((6, 7)).get()

    def test_missing_folder(self):
        with self.assertRaisesRegex(FileNotFoundError, "w should be in .*target.w"):
            self.stored().get()

    def test_lost_chunk_is_not_read_as_zeros(self):
        write_zarr(self.folder, self.array, chunks=[4, 6])
        os.remove(os.path.join(self.folder, "1.0"))
        with self.assertRaisesRegex(ValueError, "w in .*target.w.*cannot be read.*1.0"):
            self.stored().get()

    @parameterized.parameters("get", "take")
    def test_damaged_chunk(self, method):
        write_zarr(self.folder, self.array)
        with open(os.path.join(self.folder, "0.0"), "wb") as file:
            file.write(b"garbage")
        arguments = {"get": (), "take": (np.array([1]),)}[method]
        with self.assertRaisesRegex(ValueError, "w in .*target.w.*cannot be read"):
            getattr(self.stored(), method)(*arguments)

    def test_truncated_chunk(self):
        write_zarr(self.folder, self.array)
        chunk = os.path.join(self.folder, "0.0")
        os.truncate(chunk, os.path.getsize(chunk) // 2)
        with self.assertRaisesRegex(ValueError, "w in .*target.w.*cannot be read"):
            self.stored().get()

    def test_damaged_metadata(self):
        write_zarr(self.folder, self.array)
        with open(os.path.join(self.folder, ".zarray"), "w") as file:
            file.write("{")
        with self.assertRaisesRegex(ValueError, "w in .*target.w.*cannot be read"):
            self.stored().get()

    def test_uint16_is_refused(self):
        write_zarr(self.folder, np.zeros((2, 2), np.uint16))
        with self.assertRaisesRegex(ValueError, "w is stored as uint16"):
            self.stored((2, 2), "uint16").get()

    def test_opened_learns_shape_and_dtype(self):
        write_zarr(self.folder, self.array)
        opened = lazy_array.StoredArray.opened("w", paths.kvstore_spec(self.folder), "zarr")
        self.assertEqual((opened.shape, opened.dtype), ((7, 6), np.float32))
        self.assertEqual(opened.size, 42)


class InlineArrayTest(absltest.TestCase):
    def test_values_shape_and_take(self):
        array = lazy_array.InlineArray("a", np.arange(6, dtype=np.int32).reshape(2, 3))
        self.assertEqual((array.shape, array.dtype, array.size), ((2, 3), np.int32, 6))
        self.assertEqual(array.take(np.array([1, 5])).tolist(), [1, 5])
        self.assertEqual(array.get("float32").dtype, np.float32)

    def test_uint16_is_refused(self):
        with self.assertRaisesRegex(ValueError, "a is stored as uint16"):
            lazy_array.InlineArray("a", np.zeros(2, np.uint16)).get()


if __name__ == "__main__":
    absltest.main()
