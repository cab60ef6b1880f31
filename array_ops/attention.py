# SPDX-License-Identifier: Apache-2.0
"""Attention of several heads, on CPUs one head at a time.

XLA computes the weights of all heads, writes them to memory four times and keeps them for the
gradient. Where oneDNN is used (`onednn.takes`) a foreign function computes head after head within
the processor's cache, keeps nothing, and computes the weights again for the gradient: less time and
memory. Elsewhere it is `reference`, which says what is computed.
"""

import functools

import jax

from array_ops import einsum, onednn

Array = jax.Array

# Multiplications below which the call itself costs more than it saves.
_SMALL = 1 << 20


def reference(queries: Array, keys: Array, values: Array, bias: Array) -> Array:
    """The same by XLA; see `attend`."""
    logits = einsum.einsum("bqnd,bknd->bnqk", queries, keys) + bias
    return einsum.einsum("bnqk,bknd->bqnd", jax.nn.softmax(logits), values)


def attend(queries: Array, keys: Array, values: Array, bias: Array) -> Array:
    """`softmax(queries keys' + bias) values` of each head, with gradients.

    Any floating dtypes; the foreign function takes arrays that are all float32 or all bfloat16, and
    computes the softmax in float32. T5's attention (Raffel et al. 2020, section 2.1): the scale of
    the logits is in the query kernel.

    Args:
        queries: `[B, Q, N, D]`.
        keys: `[B, K, N, D]`.
        values: `[B, K, N, D]`.
        bias: broadcastable to `[B, N, Q, K]`.

    Returns:
        `[B, Q, N, D]` of their dtype.
    """
    batch, count, heads, depth = queries.shape
    matrix = (count, keys.shape[1])
    fits = bias.ndim == 4 and bias.shape[2:] == matrix
    fits = fits and bias.shape[0] in (1, batch) and bias.shape[1] in (1, heads)
    work = batch * heads * depth * count * keys.shape[1]
    if not (fits and work >= _SMALL and onednn.takes(queries, keys, values, bias)):
        return reference(queries, keys, values, bias)
    return _attend(queries, keys, values, bias)


def _like(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


@jax.custom_vjp
def _attend(queries, keys, values, bias):
    call = jax.ffi.ffi_call("soft_prompts_attention", _like(queries), vmap_method="sequential")
    return call(queries, keys, values, bias)


def _forward(*arrays):
    return _attend(*arrays), arrays


def _backward(arrays, gradient):
    queries, keys, values, bias = arrays
    call = jax.ffi.ffi_call(
        "soft_prompts_attention_gradient",
        (_like(queries), _like(keys), _like(values)),
        vmap_method="sequential",
    )
    return *call(queries, keys, values, bias, gradient), _bias_gradient(*arrays, gradient)


# Traced once for many equal layers. Where the bias does not train, which is everywhere but in model
# tuning, the compiler drops it.
@functools.partial(jax.jit, inline=True)
def _bias_gradient(queries, keys, values, bias, gradient):
    return jax.vjp(lambda bias: reference(queries, keys, values, bias), bias)[1](gradient)[0]


_attend.defvjp(_forward, _backward)
