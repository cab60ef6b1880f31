# SPDX-License-Identifier: Apache-2.0
"""Tests of PyTorch's weight files, made here as PyTorch lays them out.

Files of PyTorch itself are read in tests/compatibility.
"""

import collections
import io
import os
import pickle
import sys
import types
import zipfile
from unittest import mock

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.checkpoints import huggingface_pickles

_STORAGES = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float16): "HalfStorage",
    np.dtype(ml_dtypes.bfloat16): "BFloat16Storage",
}


def _fake_torch() -> dict[str, types.ModuleType]:
    """Modules with the names that a pickle of PyTorch refers to."""
    torch, internals = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in (*_STORAGES.values(), "load"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        raise AssertionError("only its name is needed")

    def _rebuild_parameter():
        raise AssertionError("only its name is needed")

    for function in (_rebuild_tensor_v2, _rebuild_parameter):
        function.__module__, function.__qualname__ = "torch._utils", function.__name__
        setattr(internals, function.__name__, function)
    torch._utils = internals
    return {"torch": torch, "torch._utils": internals}


_TORCH = _fake_torch()


class _Tensor:
    def __init__(self, key, dtype, offset, shape, stride, parameter=False):
        self.args, self.parameter = (key, dtype, offset, shape, stride), parameter

    def __reduce__(self):
        key, dtype, offset, shape, stride = self.args
        internals = _TORCH["torch._utils"]
        if self.parameter:
            inner = _Tensor(*self.args)
            return internals._rebuild_parameter, (inner, True, collections.OrderedDict())
        storage = _Storage(key, dtype)
        hooks = collections.OrderedDict()
        return internals._rebuild_tensor_v2, (storage, offset, shape, stride, False, hooks)


class _Storage:
    def __init__(self, key, dtype):
        self.key, self.dtype = key, dtype


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, _Storage):
            storage = getattr(_TORCH["torch"], _STORAGES[np.dtype(obj.dtype)])
            return ("storage", storage, obj.key, "cpu", 0)
        return None


def _dumps(value) -> bytes:
    buffer = io.BytesIO()
    with mock.patch.dict(sys.modules, _TORCH):
        _Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def _tensor(key: str, array: np.ndarray, **changes) -> _Tensor:
    stride = tuple(s // array.itemsize for s in np.ascontiguousarray(array).strides)
    settings = {"dtype": array.dtype, "offset": 0, "shape": array.shape, "stride": stride}
    return _Tensor(key, **(settings | changes))


class _Evil:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class ReadFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "pytorch_model.bin")
        self.weight = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)

    def write(self, index: bytes, storages=None, compression=zipfile.ZIP_STORED, **files) -> str:
        with zipfile.ZipFile(self.path, "w", compression) as archive:
            archive.writestr("archive/data.pkl", index)
            for name, content in files.items():
                archive.writestr(f"archive/{name}", content)
            for key, array in (storages or {}).items():
                archive.writestr(f"archive/data/{key}", array.tobytes())
        return self.path

    def one(self, **changes) -> str:
        state = collections.OrderedDict(w=_tensor("0", self.weight, **changes))
        state._metadata = {"": {"version": 1}}  # As PyTorch's own state dictionaries have.
        return self.write(_dumps(state), {"0": self.weight})

    @parameterized.parameters(*_STORAGES)
    def test_tensors_of_each_dtype(self, dtype):
        weight = self.weight.astype(dtype)
        state = collections.OrderedDict(
            w=_tensor("0", weight), row=_tensor("0", weight[1], offset=5), one=_tensor("1", weight)
        )
        path = self.write(_dumps(state), {"0": weight, "1": weight + 1}, byteorder=b"little")
        found = huggingface_pickles.read_file(path)
        self.assertEqual(found["w"].dtype, dtype)
        np.testing.assert_array_equal(found["w"].get(), weight)
        np.testing.assert_array_equal(found["row"].get(), weight[1])
        np.testing.assert_array_equal(found["one"].get(), weight + 1)

    def test_parameters_and_attributes_of_the_dictionary(self):
        found = huggingface_pickles.read_file(self.one(parameter=True))
        np.testing.assert_array_equal(found["w"].get(), self.weight)

    @parameterized.named_parameters(
        ("system", _Evil(os.system, "touch /nowhere"), "posix.system"),
        ("eval", _Evil(eval, "1"), "builtins.eval"),
        ("getattr", _Evil(getattr, "", "join"), "builtins.getattr"),
        ("import", _Evil(__import__, "os"), "builtins.__import__"),
    )
    def test_a_call_is_refused_and_not_made(self, evil, name):
        with mock.patch("os.system", side_effect=AssertionError("it was called")):
            name = name.replace(".", r"\.")
            path = self.write(pickle.dumps({"w": evil}, 2).replace(b"__builtin__", b"builtins"))
            pattern = rf"\Aw in .*pytorch_model.bin asks to call {name}, which weights do not"
            with self.assertRaisesRegex(ValueError, pattern):
                huggingface_pickles.read_file(path)

    def test_the_tensor_that_asks_for_a_call_is_named(self):
        evil = _Evil(os.system, "touch /nowhere")
        state = collections.OrderedDict(v=_tensor("0", self.weight), w=evil, x=evil)
        with self.assertRaisesRegex(ValueError, r"\Aw in .* asks to call posix\.system"):
            huggingface_pickles.read_file(self.write(_dumps(state), {"0": self.weight}))
        # Within a tensor's own description.
        state = collections.OrderedDict(v=_tensor("0", self.weight, offset=evil))
        with self.assertRaisesRegex(ValueError, r"\Av in .* asks to call posix\.system"):
            huggingface_pickles.read_file(self.write(_dumps(state), {"0": self.weight}))
        with self.assertRaisesRegex(ValueError, r"\A/.* asks to call posix\.system"):
            huggingface_pickles.read_file(self.write(pickle.dumps(evil, 2)))

    def test_even_other_names_of_pytorch_are_refused(self):
        with mock.patch.dict(sys.modules, _TORCH):
            path = self.write(pickle.dumps({"w": _TORCH["torch"].load}, 2))
        with self.assertRaisesRegex(ValueError, r"asks to call torch\.load"):
            huggingface_pickles.read_file(path)

    @parameterized.named_parameters(
        ("strides", {"stride": (1, 3)}, r"w in .* does not lie row by row"),
        ("too_long", {"shape": (4, 5)}, r"w in .* is incomplete: it needs 80 bytes, 60"),
        ("beyond", {"offset": 1}, r"w in .* is incomplete"),
        ("negative_offset", {"offset": -1}, r"w in .* has shape \(3, 5\) at -1"),
        ("negative_shape", {"shape": (-3, -5)}, r"w in .* has shape \(-3, -5\)"),
    )
    def test_a_tensor_that_does_not_fit_its_data(self, changes, message):
        with self.assertRaisesRegex(ValueError, message):
            huggingface_pickles.read_file(self.one(**changes))

    def test_data_that_are_missing_or_compressed(self):
        index = _dumps({"w": _tensor("0", self.weight)})
        self.write(index)
        with self.assertRaisesRegex(ValueError, "w in .* has no uncompressed data"):
            huggingface_pickles.read_file(self.path)
        self.write(index, {"0": self.weight}, zipfile.ZIP_DEFLATED)
        with self.assertRaisesRegex(ValueError, "w in .* has no uncompressed data"):
            huggingface_pickles.read_file(self.path)

    @parameterized.parameters(
        ({"w": 3}, "w in .* is a int, not a tensor"), ([1], "holds a list, not named tensors")
    )
    def test_no_tensors(self, state, message):
        with self.assertRaisesRegex(ValueError, message):
            huggingface_pickles.read_file(self.write(_dumps(state)))

    def test_big_endian(self):
        with self.assertRaisesRegex(ValueError, "big-endian"):
            huggingface_pickles.read_file(self.write(_dumps({}), byteorder=b"big"))

    def test_no_zip(self):
        with open(self.path, "wb") as file:
            file.write(_dumps({"w": 1}))
        with self.assertRaisesRegex(ValueError, "is no zip.*save_pretrained"):
            huggingface_pickles.read_file(self.path)
        with zipfile.ZipFile(self.path, "w") as archive:
            archive.writestr("something/else", b"")
        with self.assertRaisesRegex(ValueError, "no complete file of PyTorch weights"):
            huggingface_pickles.read_file(self.path)

    def test_an_archive_with_a_piece_missing(self):
        path = self.write(_dumps({"w": _tensor("0", self.weight)}), {"0": self.weight})
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:  # Offsets in the directory at the end now lead before it.
            file.write(content[200:])
        with self.assertRaisesRegex(ValueError, "no complete file of PyTorch weights"):
            huggingface_pickles.read_file(path)

    def test_no_file(self):
        with self.assertRaisesRegex(FileNotFoundError, "pytorch_model.bin does not exist"):
            huggingface_pickles.read_file(self.path)

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_whatever_the_pickle_no_other_error(self, data):
        state = {"v": _tensor("0", self.weight), "w": _tensor("0", self.weight, parameter=True)}
        index = bytearray(_dumps(state))
        for _ in range(data.draw(st.integers(1, 3))):
            index[data.draw(st.integers(0, len(index) - 1))] = data.draw(st.integers(0, 255))
        try:
            for tensor in huggingface_pickles.read_file(
                self.write(bytes(index), {"0": self.weight})
            ).values():
                tensor.get()
        except (ValueError, MemoryError) as error:
            self.assertTrue(isinstance(error, MemoryError) or self.path in str(error), error)

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_whatever_the_archive_no_other_error(self, data):
        with open(self.one(), "rb") as file:
            content = bytearray(file.read())
        begin = data.draw(st.integers(0, len(content)))
        del content[begin : begin + data.draw(st.integers(0, 200))]
        for _ in range(data.draw(st.integers(0, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        with open(self.path, "wb") as file:
            file.write(content)
        try:
            for tensor in huggingface_pickles.read_file(self.path).values():
                tensor.get()
        except (ValueError, MemoryError) as error:
            self.assertTrue(isinstance(error, MemoryError) or self.path in str(error), error)


if __name__ == "__main__":
    absltest.main()
