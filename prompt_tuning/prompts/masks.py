# SPDX-License-Identifier: Apache-2.0
"""Attention masks over prompt and tokens, as functions of token ids, under upstream's names.

`prompted_network` derives its mask from the placed prompt and needs none of these; they serve
configurations and code that name them, and decoder-only models. A mask is 1 where a query (second
to last axis) may see a key (last axis). Packed examples are not supported.

Shapes: `B` batch, `T` input tokens, `L` target tokens, `P` prompt positions.
"""

from collections.abc import Callable
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp


class EncoderMaskFn(Protocol):
    """`(tokens [B, T], dtype) -> [B, 1, P + T, P + T]`."""

    def __call__(self, encoder_input_tokens: jax.Array, dtype: Any = jnp.float32) -> jax.Array: ...


class DecoderOnlyMaskFn(Protocol):
    """`(targets [B, L], causal attention [B, L] or None, dtype) -> [B, 1, P + L, P + L]`."""

    def __call__(
        self,
        decoder_target_tokens: jax.Array,
        decoder_causal_attention: jax.Array | None = None,
        dtype: Any = jnp.float32,
    ) -> jax.Array: ...


def add_fake_prompt(
    prompt_length: int, multitask: bool = False
) -> Callable[[jax.Array], jax.Array]:
    """A function that puts `P` ones before token ids, so that masks made from ids count the prompt
    as tokens.

    Args:
      prompt_length: `P`.
      multitask: The first token is a task index that the model removes: drop it. The result is then
        `[B, P + T - 1]`.

    Returns:
      `[B, T] -> [B, P + T]`, in the dtype of the ids.
    """

    def fake_prompt(tokens: jax.Array) -> jax.Array:
        if multitask:
            tokens = tokens[:, 1:]
        prompt = jnp.ones((tokens.shape[0], prompt_length), tokens.dtype)
        return jnp.concatenate([prompt, tokens], axis=1)

    return fake_prompt


def create_prompt_encoder_mask(prompt_length: int) -> EncoderMaskFn:
    """The encoder's mask: prompt and tokens see each other, padding sees and is seen by nothing."""
    fake_prompt = add_fake_prompt(prompt_length)

    def encoder_mask(encoder_input_tokens: jax.Array, dtype: Any = jnp.float32) -> jax.Array:
        live = fake_prompt(encoder_input_tokens) > 0
        return nn.make_attention_mask(live, live, dtype=dtype)

    return encoder_mask


def create_prompt_decoder_only_mask(prompt_length: int) -> DecoderOnlyMaskFn:
    """The mask of a prompted decoder-only model.

    Without `decoder_causal_attention` it is causal over prompt and tokens. With it, the prompt and
    the positions marked 1 (the inputs of a prefix language model) also see each other fully.
    """
    fake_prompt = add_fake_prompt(prompt_length)

    def decoder_mask(
        decoder_target_tokens: jax.Array,
        decoder_causal_attention: jax.Array | None = None,
        dtype: Any = jnp.float32,
    ) -> jax.Array:
        targets = fake_prompt(decoder_target_tokens)
        live = targets > 0
        visible = nn.make_causal_mask(targets, dtype=jnp.bool_)
        if decoder_causal_attention is not None:
            prefix = fake_prompt(decoder_causal_attention) > 0
            visible = visible | nn.make_attention_mask(prefix, prefix, dtype=jnp.bool_)
        return (visible & nn.make_attention_mask(live, live, dtype=jnp.bool_)).astype(dtype)

    return decoder_mask
