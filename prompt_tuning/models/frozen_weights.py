# SPDX-License-Identifier: Apache-2.0
"""How the frozen matrices of a network are kept: float32, bfloat16, or int8 with a scale.

Only storage changes. A layer widens its own matrices when it computes with them, so where layers
are scanned there is never a wide copy of more than one layer. Norms, tables of relative positions
and whatever trains stay float32.

int8 is symmetric and has one float32 scale for each output channel: `scale = max |w| / 127` over a
channel, `values = round(w / scale)` to the nearest, ties to even, and `w` stands for `values *
scale`; -128 is not used. The output channels of a kernel `[in, out]` are its columns, so the scale
is applied to a product's result and not to the matrix; those of the token table `[V, H]` are its
rows. The error of a weight is at most half a scale: 0.4 % of the largest of its channel.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from array_ops import einsum, table_rows

Array = jax.Array

DTYPES = ("float32", "bfloat16", "int8")
_LARGEST = 127


@flax.struct.dataclass
class QuantizedMatrix:
    """A matrix as `values * scale`.

    Attributes:
        values: int8 `[..., in, out]`.
        scale: float32 `[..., 1, out]`, or `[..., V, 1]` of the token table.
    """

    values: Any
    scale: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the matrix."""
        return self.values.shape

    @property
    def size(self) -> int:
        """Number of elements of the matrix."""
        return self.values.size


# A matrix in any of the forms of this module.
Matrix = Array | QuantizedMatrix


def quantize(matrix: Any, axis: int) -> QuantizedMatrix:
    """The int8 form of a matrix; NumPy gives NumPy.

    Args:
        matrix: float `[in, out]`.
        axis: the one over which a channel extends: 0 for kernels, 1 for the token table.
    """
    xp = np if isinstance(matrix, np.ndarray) else jnp
    matrix = xp.asarray(matrix, np.float32)
    scale = xp.max(xp.abs(matrix), axis=axis, keepdims=True) / np.float32(_LARGEST)
    # A channel of zeros stays one.
    safe = xp.where(scale > 0, scale, np.float32(1))
    return QuantizedMatrix(xp.rint(matrix / safe).astype(np.int8), scale)


def widen(matrix: Matrix, dtype: Any = jnp.float32) -> Array:
    """The matrix itself in `dtype`; NumPy gives NumPy."""
    if isinstance(matrix, QuantizedMatrix):
        return (matrix.values * matrix.scale).astype(dtype)
    return matrix.astype(dtype)


def product(x: Array, kernel: Matrix, dtype: Any) -> Array:
    """`[..., in]` times a kernel `[in, out]`, computed in `dtype`."""
    if isinstance(kernel, QuantizedMatrix):
        result = einsum.einsum("...h,hf->...f", x.astype(dtype), kernel.values.astype(dtype))
        return (result * kernel.scale.reshape((1,) * (x.ndim - 1) + (-1,))).astype(dtype)
    return einsum.times_narrow(x.astype(dtype), kernel)


def rows(table: Matrix, tokens: Array) -> Array:
    """Rows of a table `[V, H]`, `[B, T, H]`; an id beyond it gives NaN."""
    if isinstance(table, QuantizedMatrix):
        scale = jnp.take(table.scale, tokens, axis=0, mode="fill")
        return jnp.take(table.values, tokens, axis=0, mode="clip") * scale
    return table_rows.take(table, tokens)


def store(params: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Flat frozen parameters, their matrices in one of `DTYPES`.

    Args:
        params: flat, under T5X's names, layers not stacked: NumPy, JAX or shapes.
        dtype: float32 leaves everything as it is.
    """
    if dtype == "float32":
        return dict(params)
    return {name: _stored(name, value, dtype) for name, value in params.items()}


def restore(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that `store` was given, as float32 arrays, up to what storing lost."""
    return {
        name: widen(value) if isinstance(value, QuantizedMatrix) else value
        for name, value in params.items()
    }


def _stored(name: str, value: Any, dtype: str) -> Any:
    if not name.endswith(("/kernel", "/embedding")) or "/prompt/" in name:
        return value

    def convert(matrix):
        if dtype == "int8":
            return quantize(matrix, axis=1 if name.endswith("/embedding") else 0)
        return matrix.astype(dtype)

    return (
        jax.eval_shape(convert, value)
        if isinstance(value, jax.ShapeDtypeStruct)
        else convert(value)
    )
