# SPDX-License-Identifier: Apache-2.0
"""What every search hands to the model, and how rows are repeated and picked.

Shapes of this and the other decoding modules: B examples, K decodes of each, R = B * K rows (row
`b*K + k`), L the longest output, V vocabulary rows. A cache is any tree of arrays; leaves of rank
0 are shared by all rows, all others lead with the row axis.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

Array = jax.Array

# The score of what must not be chosen, and of an empty slot. T5X's number; it reaches users.
NEG_INF = -1.0e7


@flax.struct.dataclass
class DecodingState:
    """What `tokens_to_logits` sees.

    Attributes:
        cur_index: position of `cur_token`; int32 `[R]` in sampling, scalar in beam search.
        sequences: int32 `[R, L]` or one column more, the start token first.
        cur_token: int32 `[R, 1]`, the token to feed.
        cache: as returned by the call before.
    """

    cur_index: Array
    sequences: Array
    cur_token: Array
    cache: Any


# One step of the model: logits `[R, V]` for the token after `cur_token`, and the grown cache.
TokensToLogits = Callable[[DecodingState], tuple[Array, Any]]


def map_rows(fn: Callable[[Array], Array], cache: Any) -> Any:
    """Applies `fn` to the leaves that lead with the row axis; scalars pass through."""
    return jax.tree.map(lambda leaf: fn(leaf) if jnp.ndim(leaf) else leaf, cache)


def repeat_rows(x: Array, times: int) -> Array:
    """`[B, ...] -> [B * times, ...]`, copies of a row next to each other."""
    return jnp.repeat(x, times, axis=0) if times > 1 else x


def gather_beams(tree: Any, indices: Array) -> Any:
    """Picks `indices` `[B, new]` along axis 1 of every leaf `[B, old, ...]`."""
    # Mapping over the batch, and not indexing by it, lets a partitioner split the batch.
    pick = jax.vmap(lambda row, index: row[index])
    return jax.tree.map(lambda leaf: pick(leaf, indices), tree)
