# SPDX-License-Identifier: Apache-2.0
"""Placement: how a prompt and the embedded tokens become one sequence.

A combination function only moves positions; it never looks at feature values. The same function
therefore also places the prompt's part of a mask: give it the mask with a trailing axis of one
(`prompted_network` does).

Shapes: `B` batch, `T` input tokens, `P` prompt positions, `H` embed.
"""

from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.prompts import prompt as prompt_modules


class CombinationFn(Protocol):
    """`(prompt [B, P, H], x_embed [B, T, H], x [B, T]) -> [B, P + T, H]`, by position."""

    def __call__(self, prompt: jax.Array, x_embed: jax.Array, x: jax.Array) -> jax.Array: ...


def prefix_prompt(prompt: jax.Array, x_embed: jax.Array, x: jax.Array) -> jax.Array:
    """Puts the prompt before the tokens, the paper's placement.

    Args:
      prompt: `[B, P, H]`, any dtype.
      x_embed: `[B, T, H]`.
      x: `[B, T]`, not read.

    Returns:
      `[B, P + T, H]` in the dtype of `x_embed`.
    """
    del x
    return jnp.concatenate([prompt.astype(x_embed.dtype), x_embed], axis=1)


def prefix_prompt_after_bos(prompt: jax.Array, x_embed: jax.Array, x: jax.Array) -> jax.Array:
    """Puts the prompt after the first token; shapes and dtype as `prefix_prompt`."""
    del x
    prompt = prompt.astype(x_embed.dtype)
    return jnp.concatenate([x_embed[:, :1], prompt, x_embed[:, 1:]], axis=1)


def suffix_prompt(
    prompt: jax.Array,
    x_embed: jax.Array,
    x: jax.Array,
    decoder_only: bool = False,
    before_eos: bool = True,
) -> jax.Array:
    """Puts the prompt behind the last token of each example, in front of the padding.

    Args:
      prompt: `[B, P, H]`, any dtype.
      x_embed: `[B, T, H]`.
      x: `[B, T]`, padding (id 0) at the end.
      decoder_only: The inputs begin with a start token that has the id of padding; it is counted as
        a token.
      before_eos: Put the prompt before the last token (EOS) instead of behind it.

    Returns:
      `[B, P + T, H]` in the dtype of `x_embed`.
    """
    tokens, positions = x.shape[1], prompt.shape[1]
    length = jnp.sum(x != 0, axis=1, keepdims=True) + int(decoder_only) - int(before_eos)
    # An example of padding alone has no EOS to stay in front of.
    begin = jnp.maximum(length, 0)  # [B, 1]
    target = jnp.broadcast_to(
        jnp.arange(positions + tokens)[None], (x.shape[0], positions + tokens)
    )
    # Each output position reads from [tokens | prompt]; a gather is one operation for all examples.
    source = jnp.where(
        target < begin,
        target,
        jnp.where(target < begin + positions, tokens + target - begin, target - positions),
    )
    values = jnp.concatenate([x_embed, prompt.astype(x_embed.dtype)], axis=1)
    return jnp.take_along_axis(values, source[..., None], axis=1)


class Prompt(nn.Module):
    """A prompt module together with its placement, in batch form.

    Attributes:
      prompt: Yields `[P, H]` from `(x, x_embed)`; see `prompt_tuning.prompts.prompt`. Its
        parameter's path ends in `prompt/prompt` below this module.
      combine: The placement.
    """

    prompt: nn.Module
    combine: CombinationFn = prefix_prompt

    def __call__(self, x: jax.Array, x_embed: jax.Array) -> jax.Array:
        """Returns prompt and tokens, `[B, P + T, H]`, for `x [B, T]` and `x_embed [B, T, H]`."""
        prompt = prompt_modules.expand_to_batch(self.prompt(x, x_embed), x_embed)
        return self.combine(prompt, x_embed, x)
