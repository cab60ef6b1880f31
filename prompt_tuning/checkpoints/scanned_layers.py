# SPDX-License-Identifier: Apache-2.0
"""Checkpoints whose layers were scanned, seen as if each layer had its own arrays, and back.

Flaxformer with `scan_layers` stacks the parameters of all layers of a stack:

  target/encoder/encoder/mlp/wo/kernel     [F, layers, H], which stands for
  target/encoder/layers_<i>/mlp/wo/kernel  [F, H]

Pure renaming and slicing; knows no model. Optimizer slots are left alone: a base model's are not
used.
"""

import collections
import re
import threading
from collections.abc import Mapping

import numpy as np

from prompt_tuning.checkpoints.lazy_array import InlineArray, LazyArray

# T5X and Flaxformer put the layers there, for the compiler's sake.
SCAN_AXIS = 1
_STACKED = re.compile(r"target/(encoder|decoder)/\1/(.+)")
_LAYER = re.compile(r"target/(encoder|decoder)/layers_(\d+)/(.+)")
_BIAS = "relpos_bias/rel_embedding"


def unstack(leaves: Mapping[str, LazyArray], axis: int = SCAN_AXIS) -> dict[str, LazyArray]:
    """The same leaves with every stacked parameter replaced by its layers.

    Args:
      leaves: of a checkpoint, named `target/...`; those of unscanned layers are passed through.
      axis: of the layers.

    Raises:
      ValueError: a stacked parameter has no such axis, or a layer is there in both forms.
    """
    result: dict[str, LazyArray] = {}
    for name, leaf in leaves.items():
        match = _STACKED.fullmatch(name)
        layers = _layers(leaf, axis, *match.groups()) if match else {name: leaf}
        both = layers.keys() & (result.keys() | (leaves.keys() - {name}))
        if both:
            raise ValueError(
                f"the checkpoint holds {min(both)} twice, as an array and as a part of {name}; "
                "save it again with one form."
            )
        result |= layers
    return result


def stack(leaves: Mapping[str, LazyArray], axis: int = SCAN_AXIS) -> dict[str, LazyArray]:
    """The same leaves with the layers of every parameter stacked, as scanned models want them.

    A scanned layer has a table of relative positions of its own, so the one of an unscanned stack
    is repeated for each of its layers: nothing that is computed changes.

    Args:
      leaves: named `target/...`, unscanned.
      axis: where the layers will lie.

    Raises:
      ValueError: layers are missing, or differ in shape or dtype.
    """
    layers: dict[tuple[str, str], dict[int, LazyArray]] = collections.defaultdict(dict)
    result: dict[str, LazyArray] = {}
    for name, leaf in leaves.items():
        match = _LAYER.fullmatch(name)
        if match:
            layers[match[1], match[3]][int(match[2])] = leaf
        else:
            result[name] = leaf
    for side in ("encoder", "decoder"):
        shared = result.pop(f"target/{side}/{_BIAS}", None)
        if shared is not None:
            count = max(
                (len(found) for (key, _), found in layers.items() if key == side), default=1
            )
            layers[side, _BIAS] = dict.fromkeys(range(count), shared)
    for (side, rest), found in layers.items():
        name = f"target/{side}/{side}/{rest}"
        result[name] = _StackedLayers(name, _in_order(name, found), axis)
    return result


def share_biases(leaves: Mapping[str, LazyArray]) -> dict[str, LazyArray]:
    """Unscanned leaves with one table of relative positions for each stack of layers.

    Raises:
      ValueError: the tables of a stack's layers differ; a T5 here has one for all of them.
    """
    result = dict(leaves)
    for side in ("encoder", "decoder"):
        prefix = f"target/{side}/"
        names = [name for name in leaves if name.startswith(prefix) and name.endswith(f"/{_BIAS}")]
        names = [name for name in names if _LAYER.fullmatch(name)]
        tables = [result.pop(name).get() for name in names]
        for name, table in zip(names, tables, strict=True):
            if not np.array_equal(table, tables[0]):
                raise ValueError(
                    f"{name} differs from {names[0]}; a model whose layers have different tables "
                    "of relative positions has no counterpart here."
                )
        if names:
            shared = f"{prefix}{_BIAS}"
            result[shared] = InlineArray(shared, tables[0])
    return result


def _in_order(name: str, layers: Mapping[int, LazyArray]) -> list[LazyArray]:
    ordered = [layers[index] for index in sorted(layers)]
    kinds = {(leaf.shape, leaf.dtype) for leaf in ordered}
    if sorted(layers) != list(range(len(layers))) or len(kinds) != 1:
        raise ValueError(
            f"{name} cannot be made of the layers {sorted(layers)}: some are missing, or they "
            "differ in shape or dtype."
        )
    return ordered


def _layers(leaf: LazyArray, axis: int, stack: str, rest: str) -> dict[str, LazyArray]:
    if not 0 <= axis < len(leaf.shape):
        raise ValueError(
            f"{leaf.name} has shape {leaf.shape}, but scanned layers lie on axis {axis}."
        )
    count = leaf.shape[axis]
    source = _Stack(leaf, axis)
    names = [f"target/{stack}/layers_{index}/{rest}" for index in range(count)]
    return {name: _Layer(name, source, index) for index, name in enumerate(names)}


class _Stack:
    """Reads a stacked array once for all its layers, and drops it after the last one.

    Its chunks hold all layers, so reading layer by layer would decompress everything each time.
    """

    def __init__(self, leaf: LazyArray, axis: int):
        self.leaf, self.axis = leaf, axis
        self._lock = threading.Lock()
        self._values: np.ndarray | None = None
        self._wanted: set[int] = set()

    def layer(self, index: int) -> np.ndarray:
        with self._lock:
            if self._values is None:
                self._values = self.leaf.get()
                self._wanted = set(range(self.leaf.shape[self.axis]))
            layer = np.ascontiguousarray(np.take(self._values, index, self.axis))
            self._wanted.discard(index)
            if not self._wanted:
                self._values = None
            return layer


class _Layer(LazyArray):
    """One layer of a `_Stack`."""

    def __init__(self, name: str, stack: _Stack, index: int):
        shape = stack.leaf.shape[: stack.axis] + stack.leaf.shape[stack.axis + 1 :]
        super().__init__(name, shape, stack.leaf.dtype)
        self._stack, self._index = stack, index

    def _read(self) -> np.ndarray:
        return self._stack.layer(self._index)


class _StackedLayers(LazyArray):
    """Arrays of equal shape, one for each layer, as one array with a further axis."""

    def __init__(self, name: str, layers: list[LazyArray], axis: int):
        shape = layers[0].shape
        super().__init__(name, (*shape[:axis], len(layers), *shape[axis:]), layers[0].dtype)
        self._layers, self._axis = layers, axis

    def _read(self) -> np.ndarray:
        values = np.empty(self.shape, self.dtype)
        by_layer = np.moveaxis(values, self._axis, 0)
        for index, layer in enumerate(self._layers):
            by_layer[index] = layer.get()
        return values
