# SPDX-License-Identifier: Apache-2.0
"""`jnp.einsum` of two arrays, computed on CPUs by oneDNN or our own kernels where that is faster.

XLA's own products on a CPU reach about 80 % of oneDNN's rate in float32. In bfloat16 they convert
to float32, and so use neither AMX nor AVX-512's bfloat16 units: there oneDNN is several times as
fast. Off CPUs, over several devices, for small products, and where the compiled module is not
there, it is `jnp.einsum`.

A product is planned while it is traced: which letters are rows, columns, sums and batches, and
with what strides they lie in memory, so that nothing is transposed first.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.ad_checkpoint
import jax.numpy as jnp
import numpy as np

from array_ops import onednn

Array = jax.Array

# Of results of products without a batch axis, for policies of rematerialisation.
NAME = "unbatched_product"

_TARGET = "soft_prompts_product"
# Multiplications below which the call itself costs more than it saves.
_SMALL = 1 << 20
# Rows of a float32 product with bfloat16 for which reading the kernel takes the time.
_FEW_ROWS = 64


@dataclasses.dataclass(frozen=True)
class Plan:
    """One product for oneDNN: dims and strides, in elements, `[..., M, K] [..., K, N]`.

    Attributes:
        swapped: the second operand of the einsum is the left one of the product.
        a_dims, a_strides: of the left operand; axes of size 1 with stride 0 are broadcast.
        b_dims, b_strides: of the right operand.
        out_dims, out_strides: of the result.
    """

    swapped: bool
    a_dims: tuple[int, ...]
    a_strides: tuple[int, ...]
    b_dims: tuple[int, ...]
    b_strides: tuple[int, ...]
    out_dims: tuple[int, ...]
    out_strides: tuple[int, ...]


def _split(subscripts: str) -> tuple[str, str, str]:
    inputs, _, out = subscripts.partition("->")
    a, _, b = inputs.partition(",")
    return a, b, out


def _sizes(
    subscripts: str, a_shape: Sequence[int], b_shape: Sequence[int]
) -> dict[str, int] | None:
    """Of each letter; None where shapes do not fit, or a letter is not once in two or all arrays."""
    a, b, out = _split(subscripts)
    pairs = [*zip(a, a_shape, strict=False), *zip(b, b_shape, strict=False)]
    fits = (len(a), len(b)) == (len(a_shape), len(b_shape)) and len(set(pairs)) == len({*a, *b})
    once = all(len(set(letters)) == len(letters) for letters in (a, b, out))
    shared = set(a) & set(b) | set(a) & set(out) | set(b) & set(out) == {*a, *b, *out}
    return dict(pairs) if fits and once and shared else None


def _strides(letters: str, sizes: dict[str, int]) -> dict[str, int]:
    strides, step = {}, 1
    for letter in reversed(letters):
        strides[letter] = step
        step *= sizes[letter]
    return strides


def _groups(letters: str, sizes: dict[str, int], layouts: Sequence[dict[str, int]]) -> list[str]:
    """Letters that follow one another in every layout are one axis; those of size 1 are none."""
    groups: list[str] = []
    for letter in [c for c in letters if sizes[c] > 1] or letters[-1:]:
        if groups and all(
            layout[groups[-1][-1]] == layout[letter] * sizes[letter] for layout in layouts
        ):
            groups[-1] += letter
        else:
            groups.append(letter)
    return groups


def plan(subscripts: str, a_shape: Sequence[int], b_shape: Sequence[int]) -> Plan | None:
    """How to compute an einsum as one strided product; None where it is not one.

    Args:
        subscripts: `"ab,bc->ac"`, without an ellipsis.
        a_shape: of the first operand.
        b_shape: of the second.
    """
    a, b, out = _split(subscripts)
    sizes = _sizes(subscripts, a_shape, b_shape)
    if sizes is None or not out:
        return None
    swapped = out[-1] not in b
    if swapped:
        a, b = b, a
    layouts = [_strides(letters, sizes) for letters in (a, b, out)]
    left, right, result = layouts
    if out[-1] in a:
        return None
    batch = [letter for letter in out if letter in a and letter in b]
    columns = _groups("".join(c for c in out if c not in a), sizes, (right, result))
    sums = _groups("".join(c for c in a if c not in out), sizes, (left, right))
    rows = _groups("".join(c for c in out if c not in b), sizes, (left, result))
    if len(columns) != 1 or len(sums) != 1 or not rows:
        return None
    # Rows that do not lie together in memory: one product for each index of the fewer ones.
    row = max(reversed(rows), key=lambda group: math.prod(sizes[c] for c in group))
    outer = [*batch, *(group for group in rows if group != row)]
    column, total = columns[0], sums[0]

    def describe(layout, *last):
        axes = [*outer, *last]
        dims = tuple(math.prod(sizes[c] for c in g) if g[-1] in layout else 1 for g in axes)
        steps = [layout.get(group[-1], 0) for group in axes]
        # A broadcast axis must not look like one that overlaps others.
        whole = math.prod(dims)
        return dims, tuple(s if s else whole for s in steps)

    return Plan(
        swapped,
        *describe(left, row, total),
        *describe(right, total, column),
        *describe(result, row, column),
    )


def einsum(subscripts: str, a: Array, b: Array) -> Array:
    """As `jnp.einsum` of two arrays of one dtype, with gradients.

    Args:
        subscripts: as `jnp.einsum`; may begin with `...` in the first operand and the result.
        a: any shape; float32 or bfloat16 goes to the foreign function, whose sums are float32. Its
            large float32 products may be sums of bfloat16 products (array_ops/split_product.h).
        b: any shape, of the same dtype.

    Returns:
        Of that dtype.

    Raises:
        ValueError, TypeError: as `jnp.einsum`, of subscripts and shapes that do not fit.
    """
    if not onednn.takes(a, b):
        return jnp.einsum(subscripts, a, b)
    spelt = _spell_out(subscripts, a.ndim)
    sizes = _sizes(spelt, a.shape, b.shape)
    if sizes is None or math.prod(sizes.values()) < _SMALL:
        return jnp.einsum(subscripts, a, b)
    return _product(spelt, a, b)


def times_narrow(x: Array, kernel: Array) -> Array:
    """A product with a kernel of perhaps another dtype, in the dtype of `x`, with gradients.

    The numbers are those of a kernel that is converted first. A few rows of float32 times a
    bfloat16 kernel read it as it is, half of the bytes, and so does the gradient of the rows: what
    takes the time when one token is decoded, and of logits with short targets.

    Args:
        x: floating, `[..., in]`.
        kernel: floating, `[in, out]`.

    Returns:
        `[..., out]` of the dtype of `x`.

    Raises:
        TypeError, ValueError: as `jnp.einsum`, of shapes that do not fit.
    """
    fits = x.shape[-1] == kernel.shape[0]
    few = math.prod(x.shape[:-1]) <= _FEW_ROWS
    large = x.size * kernel.shape[1] >= _SMALL
    mixed = x.dtype == jnp.float32 and kernel.dtype == jnp.bfloat16
    if fits and few and large and mixed and onednn.takes(x):
        return _times_bfloat16(x, kernel)
    return einsum("...h,hf->...f", x, kernel.astype(x.dtype))


@jax.custom_vjp
def _times_bfloat16(x: Array, kernel: Array) -> Array:
    return _product(_spell_out("...h,hf->...f", x.ndim), x, kernel)


def _times_bfloat16_forward(x, kernel):
    return _times_bfloat16(x, kernel), (x, kernel)


def _times_bfloat16_backward(saved, gradient):
    x, kernel = saved
    of_x = _product(_spell_out("...f,hf->...h", x.ndim), gradient, kernel)

    def widened(kernel):
        return einsum("...h,hf->...f", x, kernel.astype(x.dtype))

    # Where the kernel is frozen the compiler drops its gradient.
    return of_x, *jax.vjp(widened, kernel)[1](gradient)


_times_bfloat16.defvjp(_times_bfloat16_forward, _times_bfloat16_backward)


def _spell_out(subscripts: str, ndim: int) -> str:
    named = _split(subscripts)[0].removeprefix("...")
    letters = [chr(ord("A") + index) for index in range(ndim - len(named))]
    return subscripts.replace("...", "".join(letters))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(subscripts: str, a: Array, b: Array) -> Array:
    made = plan(subscripts, a.shape, b.shape)
    if made is None:
        return jnp.einsum(subscripts, a, b)
    first, second, out = _split(subscripts)
    sizes = dict(zip(first, a.shape, strict=True)) | dict(zip(second, b.shape, strict=True))
    operands = (b, a) if made.swapped else (a, b)
    attributes = dataclasses.asdict(made)
    del attributes["swapped"]
    call = jax.ffi.ffi_call(
        _TARGET,
        jax.ShapeDtypeStruct(tuple(sizes[letter] for letter in out), a.dtype),
        vmap_method="sequential",
    )
    return call(*operands, **{n: np.asarray(value, np.int64) for n, value in attributes.items()})


def _forward(subscripts, a, b):
    out = _product(subscripts, a, b)
    first, second, result = _split(subscripts)
    if not set(first) & set(second) & set(result):
        out = jax.ad_checkpoint.checkpoint_name(out, NAME)
    return out, (a, b)


# Equal products of many layers are traced once.
@functools.partial(jax.jit, static_argnums=0, inline=True)
def _gradients(subscripts, a, b, gradient):
    first, second, out = _split(subscripts)
    # What is not needed, as the gradient of a frozen kernel, the compiler drops. Not by
    # `symbolic_zeros`: a function that is traced once and differentiated for one argument here and
    # another there (equal layers) gives `_backward` what was saved for the other.
    return (
        _product(f"{out},{second}->{first}", gradient, b),
        _product(f"{out},{first}->{second}", gradient, a),
    )


def _backward(subscripts, saved, gradient):
    return _gradients(subscripts, *saved, gradient)


_product.defvjp(_forward, _backward)
