# SPDX-License-Identifier: Apache-2.0
"""Safetensors files <-> `{name: array}`: mapped into memory when read, streamed when written.

  8 bytes    length of the header, little-endian
  header     JSON: {"<name>": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {}}
  data       the arrays, row-major and little-endian, without gaps; offsets count from here

The `safetensors` library holds all arrays of a file in memory to write it, and does not say which
array is damaged; otherwise the two are interchangeable. Knows no model.
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from prompt_tuning.checkpoints.lazy_array import DTypeLike, LazyArray, as_dtype

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "F32": np.dtype(np.float32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F64": np.dtype(np.float64),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_METADATA = "__metadata__"
# The library's own limit; a longer header is not one of a model.
_MAX_HEADER = 100_000_000
_ALIGNMENT = 8


class MappedArray(LazyArray):
    """An array that lies row-major in a file from `offset` on; `get` maps it, and copies nothing.

    The values returned are read-only.
    """

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype, path: str, offset: int):
        super().__init__(name, shape, dtype)
        self.path, self.offset = path, offset

    @property
    def nbytes(self) -> int:
        """Bytes in the file."""
        return self.size * self.dtype.itemsize

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.array(self._read().reshape(-1)[indices])

    def _checked(self, values: np.ndarray) -> np.ndarray:
        return values  # Here 16-bit integers are what they say.

    def _read(self) -> np.ndarray:
        if not self.nbytes:
            return np.zeros(self.shape, self.dtype)
        # A mapping beyond the end of a file kills the process where it is read.
        if os.path.getsize(self.path) < self.offset + self.nbytes:
            raise ValueError(f"{self.name} in {self.path} is incomplete: the file became shorter.")
        # As bytes first: numpy.memmap knows no bfloat16.
        raw = np.memmap(self.path, np.uint8, "r", self.offset, (self.nbytes,))
        return np.asarray(raw).view(self.dtype).reshape(self.shape)


def read_file(path: str) -> dict[str, MappedArray]:
    """The arrays of a safetensors file, in the order of their data; no values are read.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged or incomplete; names the array.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} does not exist.")
    header, start = _read_header(path)
    header.pop(_METADATA, None)
    arrays = [_described(name, entry, path, start) for name, entry in header.items()]
    arrays.sort(key=lambda array: (array.offset, array.nbytes))
    _check_layout(arrays, path, start)
    return {array.name: array for array in arrays}


def read_metadata(path: str) -> dict[str, str]:
    """The file's own text entries (`__metadata__`); empty where it has none.

    Raises:
      FileNotFoundError, ValueError: as `read_file`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} does not exist.")
    return _read_header(path)[0].get(_METADATA, {})


def write_file(
    path: str,
    arrays: Mapping[str, LazyArray | np.ndarray],
    dtype: DTypeLike | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a safetensors file, one array after the other in the order given.

    One array at a time is in memory. The file appears under its name only when it is whole.

    Args:
      dtype: of all arrays in the file; None keeps each array's own.
      metadata: text entries; `{"format": "pt"}` is what PyTorch's readers ask for, and the default.

    Raises:
      ValueError: the format has no name for an array's dtype.
    """
    header: dict[str, Any] = {_METADATA: dict(metadata or {"format": "pt"})}
    end = 0
    for name, array in arrays.items():
        saved = array.dtype if dtype is None else as_dtype(dtype)
        if saved not in _NAMES:
            raise ValueError(f"{name} is {saved}, for which safetensors files have no name.")
        begin, end = end, end + math.prod(array.shape) * saved.itemsize
        header[name] = {
            "dtype": _NAMES[saved],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    temporary = f"{path}.tmp-{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                values = array.get(dtype) if isinstance(array, LazyArray) else array
                values = np.ascontiguousarray(values, None if dtype is None else as_dtype(dtype))
                file.write(values.reshape(-1).view(np.uint8).data)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def _read_header(path: str) -> tuple[dict[str, Any], int]:
    """The header, and where the data begin."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _MAX_HEADER):
            raise ValueError(
                f"{path} is no complete safetensors file: its {size} bytes announce a header of "
                f"{length}."
            )
        text = file.read(length)
    try:
        header = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has a damaged safetensors header: {error}.") from error
    metadata = header.get(_METADATA, {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(
            f"{path} has a damaged safetensors header: it is no JSON object, or its {_METADATA} "
            "is none of texts."
        )
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is there twice")
    return entries


def _described(name: str, entry: Any, path: str, start: int) -> MappedArray:
    try:
        shape = tuple(_natural(length) for length in entry["shape"])
        begin, end = (_natural(offset) for offset in entry["data_offsets"])
        dtype = DTYPES.get(entry["dtype"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name} in {path} is described by {entry}, which is not safetensors' form."
        ) from error
    if dtype is None:
        raise ValueError(
            f"{name} in {path} has dtype {entry['dtype']}; accepted are {', '.join(DTYPES)}."
        )
    array = MappedArray(name, shape, dtype, path, start + begin)
    if end - begin != array.nbytes:
        raise ValueError(
            f"{name} in {path} has {end - begin} bytes, but shape {list(shape)} of "
            f"{entry['dtype']} needs {array.nbytes}."
        )
    return array


def _natural(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no natural number")
    return value


def _check_layout(arrays: list[MappedArray], path: str, start: int) -> None:
    """The data must follow each other without gaps up to the end of the file."""
    size, position = os.path.getsize(path), start
    for array in arrays:
        if array.offset + array.nbytes > size:
            raise ValueError(
                f"{array.name} in {path} is incomplete: it ends at byte "
                f"{array.offset + array.nbytes}, the file at {size}; fetch the file again."
            )
        if array.offset != position:
            raise ValueError(
                f"{array.name} in {path} begins at byte {array.offset}, but the array before it "
                f"ends at {position}; the file is damaged."
            )
        position += array.nbytes
    if position != size:
        raise ValueError(f"{path} has {size - position} bytes that belong to no array.")
