# SPDX-License-Identifier: Apache-2.0
"""Tests of safetensors files, against the safetensors library."""

import json
import os
import struct
from unittest import mock

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.checkpoints import safetensors_files
from prompt_tuning.checkpoints.lazy_array import InlineArray

_ARRAYS = {
    "b.weight": np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32),
    "a.scale": np.arange(3).astype(ml_dtypes.bfloat16),
    "half": np.full((2, 2, 2), 0.1, np.float16),
    "step": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.float32),
}


def _file(header, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


class SafetensorsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "x.safetensors")

    def write(self, data: bytes) -> str:
        with open(self.path, "wb") as file:
            file.write(data)
        return self.path

    def test_reads_what_the_library_writes(self):
        safetensors.numpy.save_file(_ARRAYS, self.path, metadata={"format": "pt"})
        found = safetensors_files.read_file(self.path)
        self.assertCountEqual(found, _ARRAYS)
        for name, value in _ARRAYS.items():
            self.assertEqual((found[name].shape, found[name].dtype), (value.shape, value.dtype))
            np.testing.assert_array_equal(found[name].get(), value)

    def test_the_library_reads_what_is_written(self):
        safetensors_files.write_file(self.path, _ARRAYS)
        found = safetensors.numpy.load_file(self.path)
        self.assertCountEqual(found, _ARRAYS)
        for name, value in _ARRAYS.items():
            self.assertEqual(found[name].dtype, value.dtype)
            np.testing.assert_array_equal(found[name], value)
        with safetensors.safe_open(self.path, "np") as file:
            self.assertEqual(file.metadata(), {"format": "pt"})
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["x.safetensors"])

    def test_a_cast_while_writing(self):
        lazy = {"w": InlineArray("w", _ARRAYS["b.weight"])}
        safetensors_files.write_file(self.path, lazy, "bfloat16", {"origin": "here"})
        found = safetensors_files.read_file(self.path)["w"]
        self.assertEqual(found.dtype, ml_dtypes.bfloat16)
        expected = _ARRAYS["b.weight"].astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(found.get(), expected)
        self.assertEqual(safetensors_files.read_metadata(self.path), {"origin": "here"})

    @settings(deadline=None, max_examples=30)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(sorted(safetensors_files.DTYPES)),
                st.lists(st.integers(0, 4), max_size=3),
            ),
            max_size=5,
        )
    )
    def test_any_arrays_are_read_as_written(self, kinds):
        rng = np.random.default_rng(1)
        arrays = {
            f"w{i}": (rng.random(shape) * 2).astype(safetensors_files.DTYPES[kind])
            for i, (kind, shape) in enumerate(kinds)
        }
        safetensors_files.write_file(self.path, arrays)
        found = safetensors_files.read_file(self.path)
        self.assertCountEqual(found, arrays)
        for name, value in arrays.items():
            self.assertEqual((found[name].shape, found[name].dtype), (value.shape, value.dtype))
            np.testing.assert_array_equal(found[name].get(), value)

    def test_a_transposed_array_is_written_row_by_row(self):
        safetensors_files.write_file(self.path, {"w": _ARRAYS["b.weight"].T})
        np.testing.assert_array_equal(
            safetensors.numpy.load_file(self.path)["w"], _ARRAYS["b.weight"].T
        )

    def test_values_are_mapped_and_parts_are_taken(self):
        safetensors_files.write_file(self.path, _ARRAYS)
        array = safetensors_files.read_file(self.path)["b.weight"]
        values = array.get()
        self.assertFalse(values.flags.owndata)
        self.assertFalse(values.flags.writeable)
        places = np.array([0, 9, 39])
        np.testing.assert_array_equal(array.take(places), _ARRAYS["b.weight"].reshape(-1)[places])
        part = (slice(1, 3), slice(2, None))
        np.testing.assert_array_equal(array.part(part), _ARRAYS["b.weight"][part])

    def test_nothing_remains_of_a_failed_write(self):
        broken = InlineArray("w", np.zeros(3, np.float32))
        with mock.patch.object(broken, "_read", side_effect=ValueError("no")):
            with self.assertRaisesRegex(ValueError, "no"):
                safetensors_files.write_file(self.path, {"w": broken})
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [])

    def test_a_dtype_without_a_name(self):
        with self.assertRaisesRegex(ValueError, "w is complex64, for which"):
            safetensors_files.write_file(self.path, {"w": np.zeros(2, np.complex64)})

    def test_there_is_no_file(self):
        for read in (safetensors_files.read_file, safetensors_files.read_metadata):
            with self.assertRaisesRegex(FileNotFoundError, "x.safetensors does not exist"):
                read(self.path)

    @parameterized.named_parameters(
        ("nothing", b"", "no complete safetensors file"),
        (
            "a_header_longer_than_the_file",
            b"\xff" * 12,
            "announce a header of 18446744073709551615",
        ),
        ("no_json", _file(b"{nonsense", b""), "damaged safetensors header"),
        ("no_utf8", _file(b"\xff\xfe\xff", b""), "damaged safetensors header"),
        ("no_object", _file([], b""), "it is no JSON object"),
        ("metadata", _file({"__metadata__": {"a": 1}}, b""), "its __metadata__ is none of texts"),
        ("deep", _file(b"[" * 100_000, b""), "damaged safetensors header"),
        ("a_pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00", "no complete safetensors"),
        (
            "a_name_twice",
            _file(b'{"w": {}, "w": {}}', b""),
            "header: w is there twice",
        ),
        ("no_description", _file({"w": 3}, b""), "w in .* is described by 3"),
        ("negative", _file({"w": _entry(shape=(-2,))}, bytes(8)), "w in .* is described by"),
        ("not_whole", _file({"w": _entry(shape=(2.0,))}, bytes(8)), "w in .* is described by"),
        ("unknown_dtype", _file({"w": _entry("F8_E4M3")}, bytes(8)), "w in .* has dtype F8_E4M3"),
        (
            "another_size",
            _file({"w": _entry(shape=(3,))}, bytes(8)),
            r"w in .* has 8 bytes, but shape \[3\] of F32 needs 12",
        ),
        ("cut_off", _file({"w": _entry()}, bytes(5)), "w in .* is incomplete: .* fetch the file"),
        (
            "a_gap",
            _file({"v": _entry(offsets=(0, 8)), "w": _entry(offsets=(12, 20))}, bytes(20)),
            "w in .* begins at byte .* the array before it ends",
        ),
        (
            "an_overlap",
            _file({"v": _entry(), "w": _entry(offsets=(4, 12))}, bytes(12)),
            "w in .* begins at byte",
        ),
        ("bytes_left_over", _file({"w": _entry()}, bytes(9)), "1 bytes that belong to no array"),
    )
    def test_a_damaged_file_is_refused(self, data, message):
        with self.assertRaisesRegex(ValueError, message):
            safetensors_files.read_file(self.write(data))

    def test_a_file_that_shrank_after_it_was_opened(self):
        safetensors_files.write_file(self.path, {"w": np.ones(1000, np.float32)})
        array = safetensors_files.read_file(self.path)["w"]
        os.truncate(self.path, 100)
        with self.assertRaisesRegex(ValueError, "w in .* the file became shorter"):
            array.get()

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_whatever_the_bytes_no_other_error(self, data):
        safetensors_files.write_file(self.path, {"v": np.ones(2, np.float32), "w": np.ones(3)})
        with open(self.path, "rb") as file:
            content = bytearray(file.read())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        try:
            for array in safetensors_files.read_file(self.write(bytes(content))).values():
                array.get()
        except ValueError as error:
            self.assertIn(self.path, str(error))


if __name__ == "__main__":
    absltest.main()
