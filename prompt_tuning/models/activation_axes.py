# SPDX-License-Identifier: Apache-2.0
"""Logical axis names of activations, by which whoever runs the network may lay them over devices.

The network says what the axes of a value are; it does not know whether there is more than one
device. Whoever does sets the placement while the network is traced.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence

import jax

# (value, names of its axes) -> the value, placed.
Placement = Callable[[jax.Array, Sequence[str | None]], jax.Array]

_placement: contextvars.ContextVar[Placement | None] = contextvars.ContextVar(
    "placement", default=None
)


@contextlib.contextmanager
def placed_by(placement: Placement) -> Iterator[None]:
    """Lets `placement` see every named activation of what is traced inside."""
    token = _placement.set(placement)
    try:
        yield
    finally:
        _placement.reset(token)


def named(value: jax.Array, *axes: str | None) -> jax.Array:
    """`value` itself, with its axes made known: T5X's names, such as "batch", "length", "embed".

    Raises:
        ValueError: the number of names is not that of the axes.
    """
    if len(axes) != value.ndim:
        raise ValueError(f"{axes} does not name the axes of an array of shape {value.shape}.")
    placement = _placement.get()
    return value if placement is None else placement(value, axes)
