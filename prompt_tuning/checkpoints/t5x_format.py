# SPDX-License-Identifier: Apache-2.0
"""T5X checkpoints <-> `{name: array}`: the public face of reading and writing them.

  model_dir/checkpoint_<step>/checkpoint              msgpack: small arrays, where the others are
  model_dir/checkpoint_<step>/target.<dotted name>/   zarr, one folder per array

Knows names and arrays; not what they are for, and no Flax.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from prompt_tuning.checkpoints import msgpack_arrays, orbax_format, paths, step_directories
from prompt_tuning.checkpoints.lazy_array import DTypeLike, InlineArray, LazyArray, StoredArray
from prompt_tuning.checkpoints.step_directories import (
    checkpoint_steps,
    latest_step,
    prune,
    prune_files,
)
from prompt_tuning.checkpoints.t5x_writer import write_checkpoint

__all__ = [
    "Checkpoint",
    "LazyArray",
    "checkpoint_steps",
    "latest_step",
    "open_checkpoint",
    "prune",
    "prune_files",
    "read_arrays",
    "write_checkpoint",
]

# Version 3 is the only one in use since 2021; 2 differs in how bfloat16 was stored, which is
# refused array by array.
_READABLE_VERSIONS = (2, 3)
_SPEC_KEYS = {"driver", "kvstore", "metadata"}
_READ_THREADS = 32


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint; its values are read when asked for.

    Attributes:
      directory: the step's folder.
      step: the training step of the saved state.
      leaves: `target/<parameter>`, `state/step`, `state/param_states/<parameter>/<slot>` to arrays.
        Parameters without optimizer state, which T5X stores as nil, have no entry there.
    """

    directory: str
    step: int
    leaves: dict[str, LazyArray]

    def target(self) -> dict[str, LazyArray]:
        """The parameters, without the prefix `target/`."""
        prefix = "target/"
        return {
            name.removeprefix(prefix): leaf
            for name, leaf in self.leaves.items()
            if name.startswith(prefix)
        }


def open_checkpoint(path: str | os.PathLike[str], step: int | None = None) -> Checkpoint:
    """Opens a T5X checkpoint, native (version 3) or Orbax, without reading its large arrays.

    Args:
      path: a model directory, a folder `checkpoint_<step>`, or the file `checkpoint` in it;
        local or `gs://`.
      step: which step of a model directory; the latest if None.

    Raises:
      FileNotFoundError: there is no checkpoint, or not that step; says which steps there are.
      ValueError: the checkpoint is damaged, of an unknown version or of another program.
    """
    directory, is_orbax = step_directories.resolve(str(path), step)
    leaves = orbax_format.read_leaves(directory) if is_orbax else _native_leaves(directory)
    saved_step = _saved_step(directory, leaves)
    if step not in (None, saved_step) and step != step_directories.step_in_name(directory):
        raise FileNotFoundError(f"{path} is the checkpoint of step {saved_step}, not of {step}.")
    return Checkpoint(directory, saved_step, leaves)


def read_arrays(
    arrays: Mapping[str, LazyArray], dtype: DTypeLike | None = None
) -> dict[str, np.ndarray]:
    """Reads many arrays in parallel.

    Args:
      dtype: cast floating-point arrays to it; others, such as the step, keep theirs.

    Raises:
      FileNotFoundError, ValueError: from `LazyArray.get`, for the first array that fails.
    """

    def read(array: LazyArray) -> np.ndarray:
        return array.get(dtype if _is_floating(array.dtype) else None)

    with concurrent.futures.ThreadPoolExecutor(_READ_THREADS) as pool:
        return dict(zip(arrays, pool.map(read, arrays.values()), strict=True))


def _native_leaves(directory: str) -> dict[str, LazyArray]:
    index = paths.join(directory, step_directories.INDEX_FILE)
    data = paths.read_bytes(index)
    if data.startswith(b"model_checkpoint_path:"):
        raise ValueError(f"{directory} holds TensorFlow checkpoints, which are not read here.")
    try:
        tree = msgpack_arrays.decode(data)
    except ValueError as error:
        raise ValueError(f"{index} cannot be read: {error}.") from error
    version = tree.get("version", 0) if isinstance(tree, dict) else None
    if version not in _READABLE_VERSIONS or not isinstance(tree.get("optimizer"), dict):
        raise ValueError(
            f"{index} has format version {version}; T5X checkpoints of version 2 and 3 are "
            "accepted."
        )
    leaves: dict[str, LazyArray] = {}
    _flatten(tree["optimizer"], "", directory, leaves)
    return leaves


def _flatten(node: Any, name: str, directory: str, leaves: dict[str, LazyArray]) -> None:
    if isinstance(node, dict) and not _SPEC_KEYS <= node.keys():
        for key, child in node.items():
            _flatten(child, f"{name}/{key}" if name else str(key), directory, leaves)
    elif isinstance(node, dict):
        leaves[name] = _stored_array(node, name, directory)
    elif node is not None:
        leaves[name] = InlineArray(name, node)


def _stored_array(spec: dict[str, Any], name: str, directory: str) -> StoredArray:
    """A leaf that the index describes by a tensorstore specification.

    Only the folder's own name is taken from it: the driver there (`gfile`, `gcs`, `file`) says
    where the checkpoint was written, which is not where it lies now.
    """
    try:
        kvstore = spec["kvstore"]
        stored_path = kvstore["path"] if "path" in kvstore else spec["path"]
        folder = stored_path.rstrip("/").rpartition("/")[2]
        shape = tuple(int(length) for length in spec["metadata"]["shape"])
        dtype = msgpack_arrays.named_dtype(spec.get("dtype") or spec["metadata"]["dtype"])
        if spec["driver"] != "zarr" or not folder:
            raise ValueError(f"driver {spec['driver']}, folder {folder!r}")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name} in {directory} is described by {spec}, which T5X does not write ({error!r})."
        ) from error
    return StoredArray(name, shape, dtype, paths.kvstore_spec(paths.join(directory, folder)))


def _saved_step(directory: str, leaves: Mapping[str, LazyArray]) -> int:
    if "state/step" in leaves:
        return int(leaves["state/step"].get())
    step = step_directories.step_in_name(directory)
    if step is None:
        raise ValueError(f"{directory} stores no step, and its name is not checkpoint_<step>.")
    return step


def _is_floating(dtype: np.dtype) -> bool:
    return np.issubdtype(dtype, np.floating) or dtype == ml_dtypes.bfloat16
