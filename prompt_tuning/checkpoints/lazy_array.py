# SPDX-License-Identifier: Apache-2.0
"""Arrays of a checkpoint whose values are read when they are asked for.

`InlineArray` lies in memory already, `StoredArray` in a zarr folder. Neither knows where in which
checkpoint format it was found.
"""

import abc
import math
from typing import Any, TypeAlias

import ml_dtypes  # noqa: F401  (registers bfloat16 with numpy)
import numpy as np
import tensorstore as ts

from prompt_tuning.checkpoints import msgpack_arrays, paths

DTypeLike: TypeAlias = str | np.dtype | type


class LazyArray(abc.ABC):
    """One array: `name`, `shape` and `dtype` are known, the values wait for `get`."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype):
        self.name, self.shape, self.dtype = name, shape, dtype

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def get(self, dtype: DTypeLike | None = None) -> np.ndarray:
        """The values, cast to `dtype` where one is given.

        Raises:
          FileNotFoundError: the array's folder is gone.
          ValueError: its data are damaged, incomplete or of another shape than promised.
        """
        values = self._checked(self._read())
        return values if dtype is None else values.astype(as_dtype(dtype), copy=False)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The values at `indices` of the flattened array, as stored; reads as little as it can."""
        return self.get().reshape(-1)[indices]

    def part(self, index: tuple[slice, ...], dtype: DTypeLike | None = None) -> np.ndarray:
        """The values of a slice in every dimension, read from no more chunks than it touches.

        It is what `jax.make_array_from_callback` asks for, so an array can go straight into its
        sharding: `make_array_from_callback(a.shape, sharding, a.part)`.

        Raises:
          FileNotFoundError, ValueError: as `get`.
        """
        if len(index) != len(self.shape):
            raise ValueError(
                f"{self.name} has {len(self.shape)} dimensions; the index has {len(index)}."
            )
        values = self._checked(self._read_part(index))
        return values if dtype is None else values.astype(as_dtype(dtype), copy=False)

    def _checked(self, values: np.ndarray) -> np.ndarray:
        # A 16-bit integer array can only be bfloat16 bits from format version 2; taking the
        # bits for integers would give silently wrong weights.
        if values.dtype == np.uint16:
            raise ValueError(
                f"{self.name} is stored as uint16, which T5X used for bfloat16 before format "
                "version 3; convert the checkpoint with the T5X release that wrote it."
            )
        return values

    @abc.abstractmethod
    def _read(self) -> np.ndarray:
        """All values as stored."""

    def _read_part(self, index: tuple[slice, ...]) -> np.ndarray:
        return self._read()[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, {self.shape}, {self.dtype.name})"


class InlineArray(LazyArray):
    """An array that was part of the msgpack file."""

    def __init__(self, name: str, value: Any):
        self._value = np.asarray(value)
        super().__init__(name, self._value.shape, self._value.dtype)

    def _read(self) -> np.ndarray:
        return self._value


class StoredArray(LazyArray):
    """A zarr array behind a tensorstore key-value store.

    `shape` and `dtype` are what the index of the checkpoint says; the zarr metadata are read with
    the values and must agree on the shape.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, kvstore: Any, driver: str = "zarr"
    ):
        super().__init__(name, shape, dtype)
        self._kvstore, self._driver = kvstore, driver

    @classmethod
    def opened(cls, name: str, kvstore: Any, driver: str) -> "StoredArray":
        """An array whose shape and dtype are read from its own metadata."""
        lazy = cls(name, (), np.dtype("float32"), kvstore, driver)
        store = lazy._open()
        lazy.shape, lazy.dtype = tuple(store.shape), store.dtype.numpy_dtype
        return lazy

    def take(self, indices: np.ndarray) -> np.ndarray:
        store = self._checked_open()
        if not self.shape:
            return self.get().reshape(-1)[indices]
        where = np.unravel_index(indices, self.shape)
        return self._translated(lambda: store.vindex[where].read().result())

    def _read(self) -> np.ndarray:
        store = self._checked_open()
        return self._translated(lambda: store.read().result())

    def _read_part(self, index: tuple[slice, ...]) -> np.ndarray:
        store = self._checked_open()
        return self._translated(lambda: store[index].read().result())

    def _checked_open(self) -> ts.TensorStore:
        store = self._open()
        if tuple(store.shape) != self.shape:
            raise ValueError(
                f"{self.name} has shape {tuple(store.shape)} in {self._place()}, but the "
                f"checkpoint's index says {self.shape}; the checkpoint is damaged or was edited."
            )
        return store

    def _open(self) -> ts.TensorStore:
        # Without a fill value every chunk was written, so a chunk that is not there was lost, and
        # reading zeros in its place would be a silent error.
        spec = {
            "driver": self._driver,
            "kvstore": self._kvstore,
            "fill_missing_data_reads": False,
        }
        store = self._translated(lambda: paths.open_array(spec, open=True, read=True))
        if store.fill_value is None:
            return store
        del spec["fill_missing_data_reads"]
        return self._translated(lambda: paths.open_array(spec, open=True, read=True))

    def _translated(self, action: Any) -> Any:
        try:
            return action()
        except ValueError as error:
            text = paths.first_sentence(error)
            if text.startswith("NOT_FOUND") and "etadata" in text:
                raise FileNotFoundError(
                    f"{self.name} should be in {self._place()}, which does not exist or holds no "
                    "zarr array."
                ) from error
            raise ValueError(f"{self.name} in {self._place()} cannot be read: {text}") from error

    def _place(self) -> str:
        if isinstance(self._kvstore, str):
            return self._kvstore
        base = self._kvstore.get("base", {})
        folder = base if isinstance(base, str) else base.get("path", "")
        return folder + self._kvstore.get("path", "")


def as_dtype(dtype: DTypeLike) -> np.dtype:
    """`dtype` as numpy's, with `bfloat16` allowed as a name."""
    return msgpack_arrays.named_dtype(dtype) if isinstance(dtype, str) else np.dtype(dtype)
