# SPDX-License-Identifier: Apache-2.0
"""The layers of T5 1.1: norm, dense, embedding, relative position bias, attention, gated MLP.

Parameter names and shapes are those of T5X checkpoints made with Flaxformer: every kernel is
two-dimensional (`[H, N*D]`, heads major) and nothing has a bias. Parameters are float32; they are
cast to the activation dtype where they are used. The layers know neither tokens nor masks: they
receive activations and an additive attention bias.

Shape letters are those of ARCHITECTURE.md; `Q` and `K` are query and key positions here.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from array_ops import attention, einsum, gated_gelu
from prompt_tuning.models import frozen_weights
from prompt_tuning.models.activation_axes import named

Array = jax.Array
Initializer = Callable[..., Array]

# What a forbidden pair of positions adds to its attention logit. It is finite on purpose: a row
# with nothing to attend to becomes uniform, as in the checkpoints' training, and not NaN.
MASKED_LOGIT = -1e10

_ACTIVATIONS = {"gelu": nn.gelu, "relu": nn.relu, "silu": nn.silu, "swish": nn.silu}
ACTIVATION_NAMES = tuple(sorted((*_ACTIVATIONS, "linear")))


def dropout(rate: float) -> nn.Dropout:
    """Dropout whose mask is shared along axis -2: a channel falls out for a whole sequence.

    For activations that is the length axis; for attention weights `[B, N, Q, K]` the query axis.
    """
    return nn.Dropout(rate, broadcast_dims=(-2,))


def mask_to_bias(mask: Array, dtype: jnp.dtype) -> Array:
    """Turns a mask (non-zero = may attend) into what is added to the attention logits."""
    return jnp.where(mask > 0, jnp.asarray(0, dtype), jnp.asarray(MASKED_LOGIT, dtype))


def relative_position_buckets(
    relative_position: np.ndarray, bidirectional: bool, num_buckets: int, max_distance: int
) -> np.ndarray:
    """Buckets of `key position - query position` (T5, Raffel et al. 2020, section 2.1).

    Near distances have a bucket each, farther ones share logarithmically growing ones up to
    `max_distance`. Bidirectional tables give half of the buckets to each sign; causal ones put
    every future key in bucket 0. Computed by NumPy while tracing, in float32, because the last
    bit of the logarithm decides on which side of a boundary a distance falls.
    """
    distance = -np.asarray(relative_position, np.int32)
    offset = np.zeros_like(distance)
    if bidirectional:
        num_buckets //= 2
        offset = num_buckets * (distance < 0)
        distance = np.abs(distance)
    else:
        distance = np.maximum(distance, 0)
    max_exact = num_buckets // 2
    share = distance.astype(np.float32) / max_exact + np.finfo(np.float32).eps
    scale = (num_buckets - max_exact) / np.log(max_distance / max_exact)
    large = max_exact + (np.log(share) * np.float32(scale)).astype(np.int32)
    large = np.minimum(large, num_buckets - 1)
    return (offset + np.where(distance < max_exact, distance, large)).astype(np.int32)


def parameter(module: nn.Module, name: str, init: Initializer, shape: tuple[int, ...]) -> Any:
    """A float32 parameter of a bound module: the one that is there, else drawn by `init`.

    `module.param` alone would trace `init` in each program, only to learn its shape again.

    Returns:
        An array or `frozen_weights.QuantizedMatrix` of `shape`.

    Raises:
        flax.errors.ScopeParamShapeError: what is there has another shape.
    """
    if not module.has_variable("params", name):
        return module.param(name, init, shape, jnp.float32)
    value: Any = module.get_variable("params", name)
    if value.shape != shape:
        path = "/" + "/".join(module.path)
        raise flax.errors.ScopeParamShapeError(name, path, value.shape, shape)
    return value


class T5LayerNorm(nn.Module):
    """Scale by the root mean square, without mean or bias; statistics in float32."""

    dtype: jnp.dtype
    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., H] -> [..., H]` in `dtype`."""
        scale = parameter(self, "scale", nn.initializers.ones, (x.shape[-1],))
        x = x.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
        x = (x * jax.lax.rsqrt(mean_square + self.epsilon)).astype(self.dtype)
        return x * jnp.expand_dims(scale.astype(self.dtype), tuple(range(x.ndim - 1)))


class Dense(nn.Module):
    """A matrix product over the last axis, with parameter `kernel` `[in, features]`."""

    features: int
    dtype: jnp.dtype
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., in] -> [..., features]`, computed in `dtype`."""
        kernel = parameter(self, "kernel", self.kernel_init, (x.shape[-1], self.features))
        return frozen_weights.product(x, kernel, self.dtype)

    def by_head(self, num_heads: int) -> Array:
        """The kernel as `[in, N, D]` in `dtype`, of a module that has its parameters already."""
        kernel: Array = frozen_weights.widen(self.get_variable("params", "kernel"), self.dtype)
        return kernel.reshape(kernel.shape[0], num_heads, -1)


class Embed(nn.Module):
    """The token table, parameter `embedding` `[V, H]`, shared by encoder and decoder."""

    num_embeddings: int
    features: int
    dtype: jnp.dtype

    def setup(self) -> None:
        self.embedding = parameter(
            self,
            "embedding",
            nn.initializers.normal(1.0),
            (self.num_embeddings, self.features),
        )

    def __call__(self, tokens: Array) -> Array:
        """`[B, T] -> [B, T, H]` in `dtype`, not scaled. An id beyond the table gives NaN."""
        return frozen_weights.rows(self.embedding, tokens).astype(self.dtype)


class TiedHead(nn.Module):
    """Logits from the token table itself, in float32, divided by `sqrt(H)`: the original T5's.

    It has no parameter of its own.
    """

    table: Embed

    def __call__(self, x: Array) -> Array:
        """`[..., H] -> [..., V]`."""
        logits = jnp.dot(x.astype(jnp.float32), frozen_weights.widen(self.table.embedding).T)
        return logits / np.sqrt(x.shape[-1]).astype(np.float32)


class RelativePositionBiases(nn.Module):
    """One learned bias per head and distance bucket, parameter `rel_embedding` `[N, buckets]`."""

    num_heads: int
    num_buckets: int
    max_distance: int
    bidirectional: bool
    dtype: jnp.dtype

    def setup(self) -> None:
        self.rel_embedding = parameter(
            self,
            "rel_embedding",
            nn.initializers.variance_scaling(1.0, "fan_avg", "uniform"),
            (self.num_heads, self.num_buckets),
        )

    def _by_distance(self, query_length: int, key_length: int) -> Array:
        """`[N, Q+K-1]`: the bias for relative positions `-(Q-1) .. K-1`, in this order."""
        buckets = relative_position_buckets(
            np.arange(1 - query_length, key_length),
            self.bidirectional,
            self.num_buckets,
            self.max_distance,
        )
        return jnp.asarray(self.rel_embedding, self.dtype)[:, buckets]

    def __call__(self, query_length: int, key_length: int) -> Array:
        """`[1, N, Q, K]` for queries and keys that both start at position 0."""
        relative = jnp.arange(key_length)[None, :] - jnp.arange(query_length)[:, None]
        by_distance = self._by_distance(query_length, key_length)
        return by_distance[None, :, relative + (query_length - 1)]

    def at(self, position: Array, length: int) -> Array:
        """`[1, N, 1, length]`: the row of one query at the (traced, scalar) `position`."""
        by_distance = self._by_distance(length, length)
        row = jax.lax.dynamic_slice_in_dim(by_distance, length - 1 - position, length, axis=1)
        return row[None, :, None, :]


# What attention to the encoded input reads: keys and values `[B, K, N, D]`, or the input itself.
Memory = tuple[Array, Array] | Array


class MultiHeadAttention(nn.Module):
    """Attention without biases and without division by `sqrt(D)` (folded into query's init).

    Keys and values are projected by `keys_values` and passed back in, so that a decoder can keep
    them: its own ones grow in a cache, those of the encoded input are computed once.

    Few queries to many positions need no keys and values at all. With `y` what is attended to,
    `q . (y Wk) = (q Wk') . y` and `w (y Wv) = (w y) Wv`: the two kernels are absorbed into the few
    queries and results. `memory` decides, `recall` reads either form.
    """

    num_heads: int
    head_dim: int
    features: int
    dropout_rate: float
    dtype: jnp.dtype
    kernel_init: Initializer

    # A subclass whose keys and values are more than products with the kernels sets this to False.
    absorbs = True

    def setup(self) -> None:
        def query_init(*args):
            return self.kernel_init(*args) / np.sqrt(self.head_dim).astype(np.float32)

        inner = self.num_heads * self.head_dim
        self.query = Dense(inner, self.dtype, query_init)
        self.key = Dense(inner, self.dtype, self.kernel_init)
        self.value = Dense(inner, self.dtype, self.kernel_init)
        self.out = Dense(self.features, self.dtype, self.kernel_init)
        self.weights_dropout = dropout(self.dropout_rate)

    def keys_values(self, x: Array) -> tuple[Array, Array]:
        """`[B, K, H]` -> keys and values, each `[B, K, N, D]`."""
        shape = (*x.shape[:-1], self.num_heads, self.head_dim)
        axes = ("batch", "length", "heads", "kv")
        keys, values = self.key(x).reshape(shape), self.value(x).reshape(shape)
        return named(keys, *axes), named(values, *axes)

    def __call__(
        self, x: Array, keys: Array, values: Array, bias: Array, deterministic: bool
    ) -> Array:
        """Attends from `x` `[B*M, Q, H]` to keys and values `[B, K, N, D]`; `[B*M, Q, H]`.

        `M > 1` lets several rows (beams, candidate labels) share one row of keys: row `b*M + m`
        attends to keys `b`, and nothing is copied `M` times.

        Args:
            x: queries before projection.
            keys: from `keys_values`.
            values: from `keys_values`.
            bias: added to the logits, broadcastable to `[B, N, M*Q, K]`.
            deterministic: no dropout.
        """
        queries = self.query(x).reshape(keys.shape[0], -1, self.num_heads, self.head_dim)
        queries = named(queries, "batch", "length", "heads", "kv")
        attended = self._attend(queries, keys, values, bias, deterministic)
        return self.out(attended.reshape(*x.shape[:-1], self.num_heads * self.head_dim))

    def _attend(self, queries, keys, values, bias, deterministic):
        """`attention.attend`, with dropout of the weights where there is any."""
        if deterministic or not self.dropout_rate:
            return attention.attend(queries, keys, values, bias)
        logits = einsum.einsum("bqnd,bknd->bnqk", queries, keys) + bias
        weights = jax.nn.softmax(logits)
        # A mask for each head, also where all heads' queries are those of a single one.
        wide = weights.shape[1] != self.num_heads
        if wide:
            by_query = weights.reshape(len(weights), -1, self.num_heads, weights.shape[-1])
            weights = by_query.swapaxes(1, 2)
        dropped = self.weights_dropout(weights, deterministic=False)
        if wide:
            dropped = dropped.swapaxes(1, 2).reshape(logits.shape)
        return einsum.einsum("bnqk,bknd->bqnd", dropped, values)

    def memory(self, y: Array, reads: int) -> Memory:
        """What `recall` needs of the encoded input.

        Args:
            y: `[B, K, H]`.
            reads: how many queries will read each row of it, in all calls of `recall` together.

        Returns:
            `y` itself where absorbing is less work, else its keys and values.
        """
        # Absorbed, a query costs N*H for each key instead of N*D, and no key costs H*N*D. Measured
        # with gradients for T5 1.1 small: 3.0x as fast at 8 reads, 1.8x at 16, 1.1x at 32, 0.8x at
        # 48, where D is 64. While parameters are made, the projections have to run.
        if self.absorbs and 2 * reads <= self.head_dim and not self.is_initializing():
            return y
        return self.keys_values(y)

    def recall(self, x: Array, memory: Memory, bias: Array, deterministic: bool) -> Array:
        """As calling with keys and values, for either form of `memory`."""
        if isinstance(memory, tuple):
            return self(x, *memory, bias, deterministic)
        batch, keys, width = memory.shape
        heads = (batch, -1, self.num_heads, self.head_dim)
        queries = einsum.einsum(
            "bqnd,hnd->bqnh", self.query(x).reshape(heads), self.key.by_head(self.num_heads)
        )
        # All heads read the same rows: queries and heads are the queries of one wide head.
        flat = queries.reshape(batch, -1, 1, width)
        by_head = jnp.broadcast_to(bias, (batch, self.num_heads, queries.shape[1], keys))
        bias = by_head.swapaxes(1, 2).reshape(batch, 1, -1, keys)
        read = self._attend(flat, memory[:, :, None], memory[:, :, None], bias, deterministic)
        attended = einsum.einsum(
            "bqnh,hnd->bqnd", read.reshape(queries.shape), self.value.by_head(self.num_heads)
        )
        return self.out(attended.reshape(*x.shape[:-1], self.num_heads * self.head_dim))


class MlpBlock(nn.Module):
    """`wo(act_0(wi_0(x)) * act_1(wi_1(x)) * ...)`; T5 1.1 has `("gelu", "linear")`."""

    intermediate_dim: int
    activations: Sequence[str]
    dropout_rate: float
    dtype: jnp.dtype
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        """`[B, T, H] -> [B, T, H]`."""
        # With a single activation T5 1.0 calls the kernel `wi`; gated blocks number them.
        count = len(self.activations)
        names = [f"wi_{i}" for i in range(count)] if count > 1 else ["wi"]
        branches = [
            Dense(self.intermediate_dim, self.dtype, self.kernel_init, name=name)(x)
            for name in names
        ]
        hidden = self.product(branches)
        hidden = named(hidden, *("batch", "length")[: hidden.ndim - 1], "mlp")
        hidden = dropout(self.dropout_rate)(hidden, deterministic=deterministic)
        return Dense(x.shape[-1], self.dtype, self.kernel_init, name="wo")(hidden)

    def activated(self, branches: Sequence[Array]) -> list[Array]:
        """Each branch `[B, T, F]` after its own activation."""
        return [
            branch if name == "linear" else _ACTIVATIONS[name](branch)
            for name, branch in zip(self.activations, branches, strict=True)
        ]

    def product(self, branches: Sequence[Array]) -> Array:
        """What `wo` multiplies, `[B, T, F]`, of the branches; the hook for subclasses."""
        if tuple(self.activations) == ("gelu", "linear"):
            return gated_gelu.gate(*branches)
        return functools.reduce(operator.mul, self.activated(branches))
