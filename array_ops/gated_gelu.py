# SPDX-License-Identifier: Apache-2.0
"""The gate of T5 1.1's MLP, `gelu(x) * y`, on CPUs in one pass over memory.

XLA keeps the hyperbolic tangent and both factors for the gradient, and in bfloat16 rounds after
every step. Where oneDNN is used (`onednn.takes`) a foreign function of the same module reads x and
y, computes in float32 and writes the result; the gradient reads x and y again. Elsewhere it is
`reference`, which says what is computed.
"""

import jax

from array_ops import onednn

Array = jax.Array

# Numbers below which the call itself costs more than it saves.
_SMALL = 1 << 14


def reference(x: Array, y: Array) -> Array:
    """The same by XLA; see `gate`."""
    return jax.nn.gelu(x) * y


def gate(x: Array, y: Array) -> Array:
    """`gelu(x) * y` with the gelu of the hyperbolic tangent, and gradients (Shazeer 2020, GEGLU).

    Args:
        x: any shape and floating dtype; float32 and bfloat16 go to the foreign function.
        y: the same shape and dtype.

    Returns:
        Of the same shape and dtype.
    """
    if x.shape != y.shape or x.size < _SMALL or not onednn.takes(x, y):
        return reference(x, y)
    return _gate(x, y)


@jax.custom_vjp
def _gate(x, y):
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.ffi.ffi_call("soft_prompts_gated_gelu", like, vmap_method="broadcast_all")(x, y)


def _forward(x, y):
    return _gate(x, y), (x, y)


def _backward(saved, gradient):
    x, y = saved
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = jax.ffi.ffi_call(
        "soft_prompts_gated_gelu_gradient", (like, like), vmap_method="broadcast_all"
    )
    return tuple(call(x, y, gradient))


_gate.defvjp(_forward, _backward)
