# SPDX-License-Identifier: Apache-2.0
"""Writes checkpoints in T5X's native format, version 3, byte for byte as T5X lays them out.

`t5x_format.write_checkpoint` is the public name. Knows no train state: which arrays are written,
and which of them is an optimizer slot, is told by the two dictionaries.
"""

import concurrent.futures
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from prompt_tuning.checkpoints import msgpack_arrays, paths, step_directories
from prompt_tuning.checkpoints.lazy_array import DTypeLike, LazyArray, as_dtype

FORMAT_VERSION = 3
# Chunks of at most 64 MiB, counted in the array's dtype in memory.
CHUNK_BYTES = 64 * 2**20
_WRITE_THREADS = 16
# Arrays that come from files are read, written and forgotten in groups of about this size.
_GROUP_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class _Stored:
    """An array that gets a folder: its values or where they are, and what is written of them."""

    value: np.ndarray | LazyArray
    dtype: np.dtype
    spec: dict[str, Any]

    def get(self) -> np.ndarray:
        if isinstance(self.value, LazyArray):
            return self.value.get(self.dtype)
        return self.value.astype(self.dtype, copy=False)


def write_checkpoint(
    directory: str,
    step: int,
    target: Mapping[str, Any],
    param_states: Mapping[str, Any] | None = None,
    save_dtype: DTypeLike | None = "float32",
    extra_files: Mapping[str, bytes] | None = None,
) -> str | None:
    """Writes `directory/checkpoint_<step>`; it appears under that name only when it is whole.

    Parameters, and optimizer slots of their parameter's shape, become zarr folders; the other slots
    (factored ones, placeholders) and the step go into the file `checkpoint`, as T5X decides it.

    Args:
      target: parameter names to arrays; any subset of a model. Of `LazyArray`s, about 256 MiB are
        in memory at a time, and no less than the largest.
      param_states: `<parameter>/<slot>` to arrays. Parameters without a slot are recorded as nil.
        None or empty: the checkpoint holds weights and step alone.
      save_dtype: dtype of the parameters in the file; None keeps each array's own. Slots keep
        theirs.
      extra_files: further files of the folder, for example the position in the data.

    Returns:
      The folder, or None if that step is there already: it is left alone, as T5X does.

    Raises:
      ValueError: a name is not usable, or a slot belongs to no parameter.
    """
    final = step_directories.step_directory(directory, step)
    if step in step_directories.checkpoint_steps(directory):
        return None
    tree, stored = _plan(step, target, param_states or {}, save_dtype)
    extra_files = dict(extra_files or {})
    _check_extra_files(extra_files, stored)
    now = int(time.time())
    # An object store cannot rename; there the index file completes the step: it is written last.
    work = final if paths.is_url(directory) else f"{final}.tmp-{now}"
    if paths.exists(final):
        paths.move_directory(final, f"{final}.backup-{now}")
    paths.remove_directory(work)
    try:
        _write_arrays(work, stored)
        for name, data in extra_files.items():
            paths.write_bytes(paths.join(work, name), data)
        paths.write_bytes(
            paths.join(work, step_directories.INDEX_FILE), msgpack_arrays.encode(tree)
        )
        if work != final:
            paths.move_directory(work, final)
    except BaseException:
        paths.remove_directory(work)
        raise
    return final


def chunk_shape(shape: tuple[int, ...], itemsize: int) -> list[int]:
    """Zarr chunks of an array: the largest dimension shrinks to its next divisor until they fit.

    Upstream: T5X's `choose_chunk_shape` with a target of 64 MiB.
    """
    chunks = [max(1, length) for length in shape]
    while np.prod(chunks, dtype=np.int64) * itemsize > CHUNK_BYTES:
        largest = int(np.argmax(chunks))
        length = shape[largest]
        chunks[largest] = next(n for n in range(chunks[largest] - 1, 0, -1) if length % n == 0)
    return chunks


def _plan(
    step: int, target: Mapping[str, Any], param_states: Mapping[str, Any], dtype: DTypeLike | None
) -> tuple[dict[str, Any], dict[str, _Stored]]:
    """The content of the index file, and the arrays beside it with their specifications."""
    stored: dict[str, _Stored] = {}
    leaves: dict[str, Any] = {"state/step": np.asarray(step, np.int32)}
    for name, value in target.items():
        array = value if isinstance(value, LazyArray) else np.asarray(value)
        saved = array.dtype if dtype is None else as_dtype(dtype)
        stored[f"target/{name}"] = _stored(f"target/{name}", array, saved)
        leaves[f"target/{name}"] = stored[f"target/{name}"].spec
    for slot, value in param_states.items():
        parameter = slot.rpartition("/")[0]
        name = f"state/param_states/{slot}"
        if parameter not in target:
            raise ValueError(f"optimizer slot {slot} belongs to no parameter of this checkpoint.")
        leaves[name] = array = np.asarray(value)
        if array.shape == tuple(target[parameter].shape):
            stored[name] = _stored(name, array, array.dtype)
            leaves[name] = stored[name].spec
    if param_states:
        with_state = {slot.rpartition("/")[0] for slot in param_states}
        leaves |= {f"state/param_states/{name}": None for name in target.keys() - with_state}
    folders = {name.replace("/", ".") for name in stored}
    if len(folders) != len(stored):
        raise ValueError("two names differ only in dots and slashes, so they would share a folder.")
    return {"version": FORMAT_VERSION, "optimizer": _nested(leaves)}, stored


def _stored(name: str, array: np.ndarray | LazyArray, saved: np.dtype) -> _Stored:
    """With the tensorstore specification that the index file records, keys in T5X's order."""
    chunks = chunk_shape(array.shape, array.dtype.itemsize)
    spec = {
        "driver": "zarr",
        "dtype": saved.name,
        "kvstore": {"driver": "file", "path": name.replace("/", ".") + "/"},
        "metadata": {
            "chunks": chunks,
            "compressor": {"id": "gzip", "level": 1},
            "shape": list(array.shape),
        },
    }
    return _Stored(array, saved, spec)


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries, keys sorted on every level."""
    root: dict[str, Any] = {}
    for name in sorted(leaves, key=lambda name: name.split("/")):
        *parents, last = name.split("/")
        if not last or "" in parents:
            raise ValueError(
                f"{name!r} has an empty part; names are parts joined by one slash each."
            )
        node = root
        for depth, part in enumerate(parents):
            if "/".join(parents[: depth + 1]) in leaves:
                raise ValueError(f"{name} lies below another array of the same checkpoint.")
            node = node.setdefault(part, {})
        node[last] = leaves[name]
    return root


def _write_arrays(directory: str, stored: Mapping[str, _Stored]) -> None:
    def write(entry: _Stored) -> None:
        folder = paths.join(directory, entry.spec["kvstore"]["path"].rstrip("/"))
        located = entry.spec | {"kvstore": paths.kvstore_spec(folder)}
        array = paths.open_array(located, create=True, delete_existing=True)
        array.write(entry.get()).result()

    with concurrent.futures.ThreadPoolExecutor(_WRITE_THREADS) as pool:
        for group in _groups(stored):
            list(pool.map(write, group))


def _groups(stored: Mapping[str, _Stored]) -> Iterator[list[_Stored]]:
    """The arrays in their order, in runs whose lazy ones fit `_GROUP_BYTES` together."""
    group: list[_Stored] = []
    size = 0
    for entry in stored.values():
        is_lazy = isinstance(entry.value, LazyArray)
        length = entry.value.size * entry.value.dtype.itemsize if is_lazy else 0
        if group and size + length > _GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(entry)
        size += length
    if group:
        yield group


def _check_extra_files(extra_files: Mapping[str, bytes], stored: Mapping[str, Any]) -> None:
    taken = {step_directories.INDEX_FILE, *(name.replace("/", ".") for name in stored)}
    for name in extra_files:
        if name in taken or "/" in name or name in ("", ".", ".."):
            raise ValueError(f"{name!r} cannot be the name of a further file of a checkpoint.")
