# SPDX-License-Identifier: Apache-2.0
"""IA3 (Liu et al. 2022, arXiv:2205.05638): learned scales of keys, values and MLP activations.

There is no prompt. Each layer of a T5 gets vectors of ones that training moves: on the projected
keys and values of every attention `[N, D]`, and on what the MLP's output kernel reads `[F]`.
Paths are those of upstream, where the scales sit in Flaxformer's `k_conv`, `v_conv` and
`intermediate_conv`.

Shapes: `B` batch, `K` key positions, `N` heads, `D` head_dim, `F` mlp, `H` embed.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.models import layers, network


class IA3(nn.Module):
    """Multiplies by the parameter `ia3_scaling`, of the shape of the last axes.

    Attributes:
      axes: How many of the last axes have scales of their own.
      ia3_init: Called as `ia3_init(rng, shape, dtype)`; ones leave the network as it was.
    """

    axes: int = 1
    ia3_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., F] -> [..., F]`, or `[..., N, D] -> [..., N, D]`, in the dtype of `x`."""
        shape = x.shape[-self.axes :]
        scaling = self.param("ia3_scaling", self.ia3_init, shape, jnp.float32)
        return x * scaling.astype(x.dtype).reshape((1,) * (x.ndim - self.axes) + shape)


class IA3Attention(layers.MultiHeadAttention):
    """Attention with scaled keys and values."""

    absorbs = False  # The scales are on keys and values.

    def setup(self) -> None:
        super().setup()
        self.k_conv = IA3(axes=2)
        self.v_conv = IA3(axes=2)

    def keys_values(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[B, K, H]` -> keys and values, each `[B, K, N, D]`."""
        keys, values = super().keys_values(x)
        return self.k_conv(keys), self.v_conv(values)


class IA3MlpBlock(layers.MlpBlock):
    """A gated MLP with a scaled first branch, which scales the product of the branches."""

    def product(self, branches: Sequence[jax.Array]) -> jax.Array:
        """Branches `[B, K, F]` to `[B, K, F]`."""
        first, *others = self.activated(branches)
        return functools.reduce(operator.mul, others, IA3(name="intermediate_conv")(first))


class IA3EncoderLayer(network.EncoderLayer):
    """An encoder layer with scales."""

    attention_class = IA3Attention
    mlp_class = IA3MlpBlock


class IA3DecoderLayer(network.DecoderLayer):
    """A decoder layer with scales in both attentions."""

    attention_class = IA3Attention
    mlp_class = IA3MlpBlock


class IA3Encoder(network.Encoder):
    """An encoder with scales in every layer."""

    def make_layer(self) -> IA3EncoderLayer:
        """A layer with scales."""
        return IA3EncoderLayer(self.config)


class IA3Decoder(network.Decoder):
    """A decoder with scales in every layer."""

    def make_layer(self) -> IA3DecoderLayer:
        """A layer with scales."""
        return IA3DecoderLayer(self.config)


class IA3Transformer(network.Transformer):
    """A T5 with scales in every layer; with ones it is the plain one."""

    encoder_factory: Callable[..., network.Encoder] = dataclasses.field(default=IA3Encoder)
    decoder_class = IA3Decoder
