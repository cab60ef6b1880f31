# SPDX-License-Identifier: Apache-2.0
"""Nested dictionaries of arrays <-> the msgpack bytes that Flax writes.

Flax is not imported: the encoding is a few lines, and tools that only look into a checkpoint should
not wait for JAX. Knows no file and no meaning of names.

  array       extension 1, msgpack of (shape, dtype name, C-order bytes)
  complex     extension 2, msgpack of (real, imaginary)
  numpy scalar extension 3, as an array of shape ()
  array above 1 GiB   {"__msgpack_chunked_array__": True, "shape": {"0": ..}, "chunks": {"0": ..}}
"""

from typing import Any

import ml_dtypes
import msgpack
import numpy as np

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
# msgpack's own limit for one object is 4 GiB; Flax splits at 1 GiB.
MAX_CHUNK_BYTES = 2**30


def decode(data: bytes) -> Any:
    """Bytes -> nested dictionaries with numpy leaves; `None` for nil.

    Raises:
      ValueError: the bytes are cut off, or are not what Flax writes.
    """
    try:
        tree = msgpack.unpackb(data, ext_hook=_unpack_extension, raw=False, strict_map_key=False)
        return _join_chunks(tree)
    except (msgpack.UnpackException, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"the msgpack data is cut off or damaged ({error})") from error


def encode(tree: Any) -> bytes:
    """Nested dictionaries with array leaves -> bytes, in the order of the dictionaries.

    Raises:
      TypeError: a leaf is neither an array, a scalar, a string, bytes nor None.
    """
    return msgpack.packb(_split_chunks(tree), default=_pack_extension, use_bin_type=True)


def named_dtype(name: str) -> np.dtype:
    """The numpy dtype of a name, `bfloat16` included."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


def _pack_extension(value: Any) -> msgpack.ExtType:
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(_ARRAY, _pack_array(value))
    if isinstance(value, np.generic):
        return msgpack.ExtType(_SCALAR, _pack_array(np.asarray(value)))
    if isinstance(value, complex):
        return msgpack.ExtType(_COMPLEX, msgpack.packb((value.real, value.imag)))
    raise TypeError(f"a {type(value).__name__} cannot be stored in a checkpoint")


def _pack_array(array: np.ndarray) -> bytes:
    if array.dtype.hasobject:
        raise TypeError("an array of Python objects cannot be stored in a checkpoint")
    parts = (array.shape, array.dtype.name, array.tobytes("C"))
    return msgpack.packb(parts, use_bin_type=True)


def _unpack_extension(code: int, data: bytes) -> Any:
    if code == _ARRAY:
        return _unpack_array(data)
    if code == _SCALAR:
        return _unpack_array(data)[()]
    if code == _COMPLEX:
        return complex(*msgpack.unpackb(data))
    raise ValueError(f"msgpack extension {code} is unknown; Flax writes 1, 2 and 3")


def _unpack_array(data: bytes) -> np.ndarray:
    # raw=True keeps the buffer as bytes even in files written before msgpack had a bytes type.
    shape, name, buffer = msgpack.unpackb(data, raw=True, max_bin_len=len(data))
    return np.frombuffer(buffer, dtype=named_dtype(name.decode())).reshape(shape)


def _split_chunks(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _split_chunks(value) for key, value in tree.items()}
    if not isinstance(tree, np.ndarray) or tree.nbytes <= MAX_CHUNK_BYTES:
        return tree
    step = max(1, MAX_CHUNK_BYTES // tree.dtype.itemsize)
    flat = tree.reshape(-1)
    chunks = [flat[start : start + step] for start in range(0, flat.size, step)]
    return {_CHUNKED: True, "shape": _numbered(tree.shape), "chunks": _numbered(chunks)}


def _join_chunks(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if _CHUNKED not in tree:
        return {key: _join_chunks(value) for key, value in tree.items()}
    shape = [int(tree["shape"][str(i)]) for i in range(len(tree["shape"]))]
    chunks = [tree["chunks"][str(i)] for i in range(len(tree["chunks"]))]
    return np.concatenate(chunks).reshape(shape)


def _numbered(values: Any) -> dict[str, Any]:
    """Flax stores a sequence as a dictionary from its positions."""
    return {str(i): value for i, value in enumerate(values)}
