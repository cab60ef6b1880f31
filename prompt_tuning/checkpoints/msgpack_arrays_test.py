# SPDX-License-Identifier: Apache-2.0
"""Tests of the msgpack encoding against bytes assembled by hand."""

from unittest import mock

import ml_dtypes
import msgpack
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.checkpoints import msgpack_arrays

# {"a": array of shape [2], float32, values 1 and 2}
_BYTES = b"\x81\xa1a" + b"\xc7\x15\x01" + b"\x93\x91\x02\xa7float32\xc4\x08\0\0\x80?\0\0\0@"

_ARRAYS = st.builds(
    lambda shape, name: np.arange(int(np.prod(shape))).reshape(shape).astype(name),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(["float32", "float64", "float16", "int32", "int64", "uint8", "bool"]),
)
_TREES = st.recursive(
    st.one_of(_ARRAYS, st.none(), st.integers(-9, 9), st.text(max_size=5)),
    lambda children: st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=8,
)


class MsgpackArraysTest(parameterized.TestCase):
    def assert_trees_equal(self, a, b):
        if isinstance(a, dict):
            self.assertEqual(list(a), list(b))
            for key in a:
                self.assert_trees_equal(a[key], b[key])
        elif isinstance(a, np.ndarray):
            self.assertEqual((a.dtype, a.shape), (b.dtype, b.shape))
            np.testing.assert_array_equal(a, b)
        else:
            self.assertEqual(a, b)

    def test_encode_gives_the_bytes_of_the_format(self):
        tree = {"a": np.array([1, 2], np.float32)}
        self.assertEqual(msgpack_arrays.encode(tree), _BYTES)

    def test_decode_reads_the_bytes_of_the_format(self):
        self.assert_trees_equal(msgpack_arrays.decode(_BYTES), {"a": np.array([1, 2], np.float32)})

    @settings(max_examples=60, deadline=None)
    @given(_TREES)
    def test_round_trip(self, tree):
        self.assert_trees_equal(msgpack_arrays.decode(msgpack_arrays.encode(tree)), tree)

    def test_bfloat16_round_trip(self):
        array = np.array([1.5, -3], ml_dtypes.bfloat16)
        self.assert_trees_equal(
            msgpack_arrays.decode(msgpack_arrays.encode({"x": array})), {"x": array}
        )

    def test_scalars_and_complex_numbers(self):
        tree = {"step": np.int32(7), "z": 1 + 2j}
        decoded = msgpack_arrays.decode(msgpack_arrays.encode(tree))
        self.assertEqual(decoded, tree)
        self.assertIsInstance(decoded["step"], np.int32)

    def test_non_contiguous_arrays_are_stored_in_c_order(self):
        array = np.arange(6, dtype=np.int32).reshape(2, 3).T
        decoded = msgpack_arrays.decode(msgpack_arrays.encode({"x": array}))["x"]
        np.testing.assert_array_equal(decoded, array)

    def test_large_arrays_are_split_as_flax_does(self):
        array = np.arange(10, dtype=np.float32).reshape(2, 5)
        with mock.patch.object(msgpack_arrays, "MAX_CHUNK_BYTES", 16):
            data = msgpack_arrays.encode({"x": array})
        raw = msgpack.unpackb(data, raw=False)["x"]
        self.assertEqual(list(raw), ["__msgpack_chunked_array__", "shape", "chunks"])
        self.assertEqual(raw["shape"], {"0": 2, "1": 5})
        self.assertEqual(list(raw["chunks"]), ["0", "1", "2"])
        np.testing.assert_array_equal(msgpack_arrays.decode(data)["x"], array)

    def test_more_than_ten_chunks_keep_their_order(self):
        array = np.arange(24, dtype=np.int32)
        with mock.patch.object(msgpack_arrays, "MAX_CHUNK_BYTES", 8):
            data = msgpack_arrays.encode(array)
        np.testing.assert_array_equal(msgpack_arrays.decode(data), array)

    def test_every_truncation_is_an_error(self):
        for length in range(len(_BYTES)):
            with self.subTest(length), self.assertRaisesRegex(ValueError, "cut off or damaged"):
                msgpack_arrays.decode(_BYTES[:length])

    @parameterized.parameters(
        (b"\x93\x91\x03\xa7float32\xc4\x08" + bytes(8), 1),  # 3 elements promised, 2 there
        (b"\x93\x91\x02\xa7floatXY\xc4\x08" + bytes(8), 1),
        (b"\x93\x91\x01\xa6object\xc4\x08" + bytes(8), 1),
        (b"\xc0", 9),
    )
    def test_damaged_arrays_are_errors(self, payload, code):
        data = msgpack.packb({"a": msgpack.ExtType(code, payload)})
        with self.assertRaisesRegex(ValueError, "cut off or damaged"):
            msgpack_arrays.decode(data)

    @parameterized.parameters(object(), np.array([object()]))
    def test_what_is_no_array_is_refused(self, value):
        with self.assertRaisesRegex(TypeError, "cannot be stored"):
            msgpack_arrays.encode({"x": value})


if __name__ == "__main__":
    absltest.main()
