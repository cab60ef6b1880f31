# SPDX-License-Identifier: Apache-2.0
"""What the processes of a run have to agree on. One process agrees with itself at once.

All processes must call these functions in the same order: each waits for the others.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

# What XLA's errors say when another process is gone: gloo, NCCL, the coordination service.
_SIGNS_OF_LOSS = (
    "Gloo",
    "NCCL",
    "Connection reset",
    "Connection closed",
    "Socket closed",
    "coordination service",
    "heartbeat",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
)


# How XLA's errors begin, which JAX raises as RuntimeError or ValueError.
_STATUSES = ("UNKNOWN:", "INTERNAL:", "UNAVAILABLE:", "DEADLINE_EXCEEDED:", "ABORTED:")


class ProcessLostError(ConnectionError):
    """Another process of the run has died or cannot be reached."""


def leads() -> bool:
    """Whether this process writes the run's files and talks to the user: process 0 does."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Returns when every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def of_leader(number: int) -> int:
    """Process 0's number, which is below 2**31, in every process."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))


def check_same(text: str, what: str) -> None:
    """Every process was given the same text.

    Raises:
        ValueError: in every process, if not.
    """
    if jax.process_count() == 1:
        return
    data = np.frombuffer(text.encode()[:4096].ljust(4096, b"\0"), np.uint8)
    all_texts = multihost_utils.process_allgather(data)
    texts = [bytes(row).rstrip(b"\0").decode(errors="replace") for row in all_texts]
    other = next((i for i, found in enumerate(texts) if found != texts[0]), None)
    if other is not None:
        raise ValueError(
            f"process {other} has {texts[other]!r} for {what}, and process 0 has {texts[0]!r}; "
            "start every process with the same flags."
        )


def fetch(tree: Any) -> Any:
    """The values of arrays, wherever their pieces lie, as numpy; a piece at a time."""
    return jax.tree.map(_fetch, tree)


def _fetch(value: Any) -> np.ndarray:
    if isinstance(value, jax.Array) and not value.is_fully_addressable:
        if not value.is_fully_replicated:
            return multihost_utils.process_allgather(value, tiled=True)
    return jax.device_get(value)


class Ballot:
    """The largest of the numbers that the processes give; giving one waits for nobody.

    Attributes:
        shared: there is more than one process.

    A vote travels over the devices as a step's metrics do: processes that read the answers of the
    same step know the same, and can stop at the same step.
    """

    def __init__(self, mesh: jax.sharding.Mesh):
        self.shared = mesh.is_multi_process
        if self.shared:
            flat = jax.sharding.Mesh(mesh.devices.reshape(-1), ("voters",))
            spec = jax.sharding.PartitionSpec
            self._sharding = jax.sharding.NamedSharding(flat, spec("voters"))
            whole = jax.sharding.NamedSharding(flat, spec())
            self._largest = jax.jit(lambda votes: votes.max(), out_shardings=whole)

    def vote(self, number: int) -> Callable[[], int]:
        """Gives this process's number; the result waits for the largest of all."""
        if not self.shared:
            return lambda: number
        mine = np.full((1,), number, np.int32)
        shape = (self._sharding.mesh.size,)
        votes = jax.make_array_from_callback(shape, self._sharding, lambda _: mine)
        largest = self._largest(votes)
        return lambda: int(largest)


@contextlib.contextmanager
def losses_told() -> Iterator[None]:
    """Says what has happened when XLA fails because another process has died.

    Raises:
        ProcessLostError: instead of XLA's error.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not _tells_of_a_loss(error):
            raise
        first = str(error).strip().split("\n", maxsplit=1)[0]
        raise ProcessLostError(
            f"process {jax.process_index()} of {jax.process_count()} stops, because another process "
            f"of the run is gone or cannot be reached ({first}); start all processes again with the "
            "same command, and the run goes on from its last checkpoint."
        ) from error


def _tells_of_a_loss(error: Exception) -> bool:
    text = str(error)
    of_xla = isinstance(error, RuntimeError) or text.startswith(_STATUSES)
    return of_xla and any(sign in text for sign in _SIGNS_OF_LOSS)
