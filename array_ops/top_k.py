# SPDX-License-Identifier: Apache-2.0
"""`jax.lax.top_k` of long rows, on CPUs in two steps.

XLA's own sorts through a row number by number on a CPU. The k largest lie in the k blocks whose
largest numbers are largest: one reduction finds these, and a search within them does the rest.
"""

import jax
import jax.numpy as jnp

Array = jax.Array

_BLOCK = 128
# Blocks for each number that is looked for, below which the first step saves nothing.
_WORTH = 8


def top_k(x: Array, k: int) -> tuple[Array, Array]:
    """The k largest numbers of each row, largest first; of equal ones the first.

    Args:
        x: floating `[R, V]`. Rows with NaN give some k of their indices.
        k: at most V.

    Returns:
        Values `[R, k]` of the dtype of `x`, and int32 indices `[R, k]`.

    Raises:
        ValueError: as `jax.lax.top_k`, of a larger k.
    """
    rows, width = x.shape
    blocks = width // _BLOCK
    if jax.default_backend() != "cpu" or width % _BLOCK or blocks < _WORTH * k:
        return jax.lax.top_k(x, k)
    by_block = x.reshape(rows, blocks, _BLOCK)
    chosen = jnp.sort(jax.lax.top_k(jnp.max(by_block, axis=-1), k)[1], axis=-1)
    candidates = jnp.take_along_axis(by_block, chosen[:, :, None], axis=1)
    values, at = jax.lax.top_k(candidates.reshape(rows, k * _BLOCK), k)
    # In the order of blocks, so that of equal numbers the first is found first.
    block = jnp.take_along_axis(chosen, at // _BLOCK, axis=1)
    return values, block * _BLOCK + at % _BLOCK
