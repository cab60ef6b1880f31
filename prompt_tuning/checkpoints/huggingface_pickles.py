# SPDX-License-Identifier: Apache-2.0
"""`pytorch_model.bin` read without PyTorch, and without running what it asks for.

The file is a zip: a pickle that says which tensors there are, and their bytes beside it. A pickle
may call any function of any module; this reader knows the few names that weights need, and refuses
a file that asks for another one before anything is called. Files from before PyTorch 1.6, which are
no zips, are refused as well.
"""

import collections
import dataclasses
import math
import os
import pickle
import zipfile
import zlib
from typing import Any

import ml_dtypes
import numpy as np

from prompt_tuning.checkpoints.safetensors_files import MappedArray

_STORAGES = {
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "DoubleStorage": np.dtype(np.float64),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
}
# Of a zip entry: the fixed part before its name, and where the lengths of name and extra are.
_LOCAL_HEADER, _NAME_LENGTH, _EXTRA_LENGTH = 30, slice(26, 28), slice(28, 30)


class _Storage:
    """Stands for one of PyTorch's classes of storages."""

    def __init__(self, name: str):
        self.dtype = _STORAGES[name]


@dataclasses.dataclass(frozen=True)
class _Tensor:
    dtype: np.dtype
    key: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def conversion_command(directory: str) -> str:
    """What turns a folder of PyTorch weights into safetensors, where PyTorch is installed."""
    return (
        'python -c "from transformers import T5ForConditionalGeneration as T; '
        f"T.from_pretrained('{directory}').save_pretrained('{directory}-safetensors')\""
    )


def read_file(path: str) -> dict[str, MappedArray]:
    """The tensors of a `.bin` file; no values are read.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it asks for what weights do not need, is damaged, or of an old form; names the
        tensor where one is at fault.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} does not exist.")
    hint = f"with PyTorch at hand, convert it: {conversion_command(os.path.dirname(path))}"
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is no zip: damaged, or from before PyTorch 1.6; in the second case, {hint}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            index = next(name for name in entries if name.endswith("/data.pkl"))
            folder = index.removesuffix("data.pkl")
            order = f"{folder}byteorder"
            if order in entries and archive.read(order) != b"little":
                raise ValueError(f"{path} holds big-endian numbers; {hint}")
            with archive.open(index) as file:
                tensors = _WeightsUnpickler(file, path).load()
    # A damaged archive may lead the reader anywhere: before the file, or into no compressed data.
    except (StopIteration, RuntimeError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is no complete file of PyTorch weights; {hint}") from error
    if not isinstance(tensors, dict):
        raise ValueError(f"{path} holds a {type(tensors).__name__}, not named tensors.")
    return {
        str(name): _located(str(name), tensor, path, folder, entries)
        for name, tensor in tensors.items()
    }


# The one in Python: that in C allocates whatever size a hostile file names.
class _WeightsUnpickler(pickle._Unpickler):
    """Builds dictionaries of `_Tensor`; every other name that a pickle may mention is refused."""

    def __init__(self, file: Any, path: str):
        super().__init__(file)
        self._path = path

    def load(self) -> Any:
        try:
            return super().load()
        except (OSError, MemoryError):
            raise
        except ValueError as error:
            if self._path in str(error):
                raise
            raise ValueError(f"{self._path} holds a damaged pickle: {error}.") from error
        except Exception as error:  # What a damaged pickle raises is any of a dozen types.
            raise ValueError(f"{self._path} holds a damaged pickle: {error!r}.") from error

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _STORAGES:
            return _Storage(name)
        tensor = self._tensor_being_read()
        raise ValueError(
            f"{f'{tensor} in ' if tensor else ''}{self._path} asks to call {module}.{name}, which "
            "weights do not need; it is not read. Do not load it with anything else either unless "
            "you trust who made it."
        )

    def _tensor_being_read(self) -> str:
        """The key whose value is being built, the last one of the outermost level; "" if none."""
        levels = ([key for key in level if isinstance(key, str)] for level in self._levels())
        return next((keys[-1] for keys in levels if keys), "")

    def _levels(self) -> list[list[Any]]:
        return [*getattr(self, "metastack", ()), getattr(self, "stack", [])]

    def persistent_load(self, pid: Any) -> tuple[np.dtype, str]:
        kind, storage, key, *_ = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise ValueError(f"unknown reference {pid!r}")
        return storage.dtype, str(key)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
    dtype, key = storage
    return _Tensor(dtype, key, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _located(
    name: str, tensor: Any, path: str, folder: str, entries: dict[str, zipfile.ZipInfo]
) -> MappedArray:
    if not isinstance(tensor, _Tensor):
        raise ValueError(f"{name} in {path} is a {type(tensor).__name__}, not a tensor.")
    if min((tensor.offset, *tensor.shape)) < 0:
        raise ValueError(f"{name} in {path} has shape {tensor.shape} at {tensor.offset}.")
    if tensor.stride != _row_major(tensor.shape):
        raise ValueError(
            f"{name} in {path} does not lie row by row (strides {tensor.stride} for shape "
            f"{tensor.shape}); save it again as safetensors."
        )
    info = entries.get(f"{folder}data/{tensor.key}")
    if info is None or info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} in {path} has no uncompressed data: the file is damaged.")
    begin = tensor.offset * tensor.dtype.itemsize
    needed = begin + math.prod(tensor.shape) * tensor.dtype.itemsize
    start = _data_offset(path, info)
    if needed > info.file_size or start + needed > os.path.getsize(path):
        raise ValueError(
            f"{name} in {path} is incomplete: it needs {needed} bytes, {info.file_size} are there."
        )
    return MappedArray(name, tensor.shape, tensor.dtype, path, start + begin)


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _data_offset(path: str, info: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin; the header there may differ from the archive's directory."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER)
    lengths = (header[_NAME_LENGTH], header[_EXTRA_LENGTH])
    return info.header_offset + _LOCAL_HEADER + sum(int.from_bytes(n, "little") for n in lengths)
