# SPDX-License-Identifier: Apache-2.0
"""The modules that stacks of layers are made of, in the sizes of one `T5Config`."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from prompt_tuning.models import layers, t5_config

T5Config = t5_config.T5Config


def make_norm(cfg: T5Config) -> layers.T5LayerNorm:
    """The norm of a stack of these sizes."""
    return layers.T5LayerNorm(cfg.dtype)


def make_attention(
    cfg: T5Config, attention_class: type[layers.MultiHeadAttention] = layers.MultiHeadAttention
) -> layers.MultiHeadAttention:
    """The attention of a stack of these sizes."""
    return attention_class(
        num_heads=cfg.num_heads,
        head_dim=cfg.head_dim,
        features=cfg.emb_dim,
        dropout_rate=cfg.dropout_rate,
        dtype=cfg.dtype,
        kernel_init=nn.initializers.variance_scaling(cfg.scale, "fan_in", "normal"),
    )


def make_mlp(cfg: T5Config, mlp_class: type[layers.MlpBlock] = layers.MlpBlock) -> layers.MlpBlock:
    """The MLP of a stack of these sizes."""
    return mlp_class(
        intermediate_dim=cfg.mlp_dim,
        activations=cfg.mlp_activations,
        dropout_rate=cfg.dropout_rate,
        dtype=cfg.dtype,
        kernel_init=nn.initializers.variance_scaling(cfg.scale, "fan_in", "truncated_normal"),
    )


def make_relpos_bias(cfg: T5Config, bidirectional: bool) -> layers.RelativePositionBiases:
    """The one table of relative position biases of a stack of these sizes."""
    return layers.RelativePositionBiases(
        num_heads=cfg.num_heads,
        num_buckets=cfg.relative_attention_num_buckets,
        max_distance=cfg.relative_attention_max_distance,
        bidirectional=bidirectional,
        dtype=cfg.dtype,
    )


def make_head(cfg: T5Config, token_embedder: layers.Embed) -> nn.Module:
    """What turns positions into logits, in float32: a table of its own, not scaled, or the tokens'."""
    if cfg.logits_via_embedding:
        return layers.TiedHead(token_embedder)
    return layers.Dense(
        cfg.vocab_size,
        jnp.dtype("float32"),
        nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal"),
    )


def make_stack(cfg: T5Config, make_layer: Callable[[], nn.Module], count: int) -> Any:
    """What `layer_stack.run` takes: `count` layers, or one whose parameters are stacked."""
    return make_layer() if cfg.scan_layers else [make_layer() for _ in range(count)]
