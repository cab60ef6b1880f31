# SPDX-License-Identifier: Apache-2.0
"""Rows of a table of embeddings, on CPUs without a copy of the table.

XLA on a CPU widens a whole bfloat16 table, or copies its bits, before it takes some rows: 33 MB for
each batch of T5 1.1. Where oneDNN is used (`onednn.takes`) a foreign function copies the rows.
"""

import jax
import jax.numpy as jnp

from array_ops import onednn

Array = jax.Array

_NAN_BITS = 0x7FC0  # Of a bfloat16 NaN.


def reference(table: Array, tokens: Array) -> Array:
    """The same by XLA; see `take`."""
    return jnp.take(table, tokens, axis=0, mode="fill")


def take(table: Array, tokens: Array) -> Array:
    """`jnp.take` of rows, with gradients of the table.

    Args:
        table: `[V, H]` of any floating dtype.
        tokens: int32 `[...]`; ids from -V to -1 count from the end, others beyond the table give
            rows of NaN.

    Returns:
        `[..., H]` of the table's dtype.

    Raises:
        TypeError: as `jnp.take`, of tokens that are not integers.
    """
    return _take(table, tokens) if table.dtype == jnp.bfloat16 else reference(table, tokens)


@jax.custom_vjp
def _take(table, tokens):
    if onednn.takes(table) and tokens.dtype == jnp.int32:
        shape = jax.ShapeDtypeStruct((*tokens.shape, table.shape[1]), table.dtype)
        return jax.ffi.ffi_call("soft_prompts_rows", shape, vmap_method="sequential")(table, tokens)
    bits = jax.lax.bitcast_convert_type(table, jnp.uint16)
    found = jnp.take(bits, tokens, axis=0, mode="fill", fill_value=_NAN_BITS)
    return jax.lax.bitcast_convert_type(found, jnp.bfloat16)


def _forward(table, tokens):
    return _take(table, tokens), (table, tokens)


def _backward(saved, gradient):
    table, tokens = saved
    return *jax.vjp(lambda table: reference(table, tokens), table)[1](gradient), None


_take.defvjp(_forward, _backward)
