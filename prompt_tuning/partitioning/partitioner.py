# SPDX-License-Identifier: Apache-2.0
"""Where every array of a run lies: parameters, batches and activations on a mesh of devices.

One device is a mesh of 1 x 1; nothing here or in its users asks how many there are. Functions are
compiled once for the whole mesh, and XLA inserts what the devices have to tell one another.
"""

import concurrent.futures
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from prompt_tuning.models import activation_axes, parameter_axes
from prompt_tuning.partitioning import axis_rules, mesh

# An index of an array, a slice for each axis, to those values.
ReadPart = Callable[[tuple[slice, ...]], np.ndarray]

# As many arrays are read at a time; what a host holds beside its shards is one piece of each.
_READERS = 8


class Partitioner:
    """The mesh, and the rules by which arrays lie on it."""

    def __init__(
        self, devices: jax.sharding.Mesh | None = None, rules: axis_rules.Rules | None = None
    ):
        """Touches no array.

        Args:
            devices: from `mesh.make_mesh`; None is the first device of this process alone.
            rules: T5X's logical axis rules; None are the standard ones. ("embed", "data") among
                them lays the parameters over the data axis too (FSDP): each device then holds a
                part of every copy, and gathers a layer when it needs it.
        """
        self.mesh = mesh.make_mesh(devices=jax.local_devices()[:1]) if devices is None else devices
        self.rules = tuple(axis_rules.STANDARD if rules is None else rules)
        self._sizes = dict(zip(self.mesh.axis_names, self.mesh.devices.shape, strict=True))
        self.whole = NamedSharding(self.mesh, PartitionSpec())

    @property
    def data_parallelism(self) -> int:
        """Into how many pieces a batch is cut."""
        return self._sizes[mesh.DATA]

    def sharding(self, axes: Sequence[str | None], shape: Sequence[int]) -> NamedSharding:
        """Where an array with these logical axes lies."""
        spec = axis_rules.partition_spec(axes, shape, self.rules, self._sizes)
        return NamedSharding(self.mesh, spec)

    def parameter_sharding(
        self, name: str, shape: Sequence[int], memory_kind: str | None = None
    ) -> NamedSharding:
        """Where a parameter lies; those without logical axes, such as prompts, are whole."""
        axes = parameter_axes.logical_axes([name]).get(name, ())
        found = self.sharding(axes, shape) if len(axes) == len(shape) else self.whole
        return found.with_memory_kind(memory_kind) if memory_kind else found

    def slot_sharding(
        self, name: str, parameter_shape: Sequence[int], shape: Sequence[int]
    ) -> NamedSharding:
        """Where an optimizer slot lies: as its parameter if it has its shape, else whole."""
        same = tuple(shape) == tuple(parameter_shape)
        return self.parameter_sharding(name, shape) if same else self.whole

    def batch_sharding(self, shape: Sequence[int]) -> NamedSharding:
        """Where a feature lies: its rows over the data axis, or whole if they cannot be shared."""
        return self.sharding(("batch", *(None,) * (len(shape) - 1)), shape)

    @functools.cached_property
    def batch_shard(self) -> tuple[int, int]:
        """(index, count): which part of a batch this process needs, of how many equal ones."""
        mine = jax.process_index()
        used = [
            i
            for i, row in enumerate(self.mesh.devices)
            if any(device.process_index == mine for device in row)
        ]
        begin, size = used[0], len(used)
        aligned = used == list(range(begin, begin + size)) and begin % size == 0
        if not aligned or self.data_parallelism % size:
            return 0, 1  # Every process makes the whole batch, and uses its rows.
        return begin // size, self.data_parallelism // size

    def check_batch_size(self, rows: int) -> None:
        """The copies of the model can share a batch of so many rows.

        Raises:
            ValueError: they cannot.
        """
        if rows % self.data_parallelism:
            raise ValueError(
                f"the batch size is {rows}, which {self.data_parallelism} copies of the model "
                "cannot share equally; set --batch_size (BATCH_SIZE) to a multiple, or split the "
                "model over more devices: partitioning.PjitPartitioner.num_partitions."
            )

    def read(self, name: str, shape: Sequence[int], dtype: Any, part: ReadPart) -> jax.Array:
        """A parameter in its place; only this process's pieces are read, each of them once."""
        return self._assembled(self.parameter_sharding(name, shape), shape, dtype, part)

    def read_all(
        self, arrays: Mapping[str, tuple[Sequence[int], Any, ReadPart]]
    ) -> dict[str, jax.Array]:
        """`read` of several {name: (shape, dtype, part)}, some of them at a time."""
        with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda name: self.read(name, *arrays[name]), arrays)
            return dict(zip(arrays, found, strict=True))

    def place(self, name: str, value: Any, memory_kind: str | None = None) -> jax.Array:
        """A parameter in its place, or the arrays it is kept as; what lies there already is itself.

        Args:
            name: of T5X, or of stacked layers.
            value: numpy or JAX, or a tree of arrays such as `frozen_weights.QuantizedMatrix`.
            memory_kind: of the devices, as JAX names it; None: their own memory.
        """
        return jax.tree.map(
            lambda leaf: self.put(leaf, self.parameter_sharding(name, leaf.shape, memory_kind)),
            value,
        )

    def put(self, value: Any, sharding: NamedSharding) -> jax.Array:
        """`value`, which every process holds in full or which lies on the mesh, as `sharding`."""
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            return jax.device_put(value, sharding)
        if self.mesh.is_multi_process:
            held = np.asarray(value)
            return self._assembled(sharding, held.shape, held.dtype, lambda index: held[index])
        return jax.device_put(value, sharding)

    def put_batch(
        self, batch: Mapping[str, Any], shard: tuple[int, int] = (0, 1)
    ) -> dict[str, jax.Array]:
        """The features of a batch on the mesh.

        Args:
            batch: `[rows, ...]` each: all rows, or those of one shard.
            shard: which rows they are, from `batch_shard`.
        """
        index, count = shard
        if count == 1 and not self.mesh.is_multi_process:
            shardings = {name: self.batch_sharding(rows.shape) for name, rows in batch.items()}
            return jax.device_put(dict(batch), shardings)
        placed = {}
        for name, rows in batch.items():
            rows = np.asarray(rows)
            first, shape = index * len(rows), (count * len(rows), *rows.shape[1:])
            cut = functools.partial(_rows_of_shard, rows, first)
            placed[name] = self._assembled(self.batch_sharding(shape), shape, rows.dtype, cut)
        return placed

    def constrain(self, value: jax.Array, sharding: NamedSharding) -> jax.Array:
        """`value` of a traced function, which has to lie there."""
        return jax.lax.with_sharding_constraint(value, sharding)

    def jit(
        self, function: Callable[..., Any], *, donate_argnums: tuple[int, ...] = ()
    ) -> jax.stages.Wrapped:
        """Compiles for the mesh: activations that the network names lie by the rules."""

        @functools.wraps(function)
        def placed(*arguments, **keywords):
            with activation_axes.placed_by(self._place_activation):
                return function(*arguments, **keywords)

        return jax.jit(placed, donate_argnums=donate_argnums)

    def jit_to_host(self, function: Callable[..., Any]) -> jax.stages.Wrapped:
        """As `jit`; every device gets the whole result, so that any process can fetch it."""

        def whole(*arguments, **keywords):
            result = function(*arguments, **keywords)
            return jax.tree.map(lambda value: self.constrain(value, self.whole), result)

        return self.jit(functools.wraps(function)(whole))

    def _place_activation(self, value: jax.Array, axes: Sequence[str | None]) -> jax.Array:
        return self.constrain(value, self.sharding(axes, value.shape))

    def _assembled(self, sharding, shape, dtype, part: ReadPart) -> jax.Array:
        """Pieces that several devices hold are asked for once."""
        known: dict[tuple[tuple[int, int, int], ...], np.ndarray] = {}

        def piece(index: Any) -> np.ndarray:
            key = tuple(s.indices(n) for s, n in zip(index, shape, strict=True))
            if key not in known:
                known[key] = np.asarray(part(tuple(slice(*bounds) for bounds in key)), dtype)
            return known[key]

        return jax.make_array_from_callback(tuple(shape), sharding, piece)


def _rows_of_shard(rows: np.ndarray, first: int, index: tuple[slice, ...]) -> np.ndarray:
    """Values at `index` of the whole feature, of which `rows` begin at `first`."""
    begin, end, _ = index[0].indices(first + len(rows))
    return rows[(slice(begin - first, end - first), *index[1:])]
