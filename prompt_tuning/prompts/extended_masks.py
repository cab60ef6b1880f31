# SPDX-License-Identifier: Apache-2.0
"""Attention masks that restrict what a prompt sees, under upstream's names (`extended.masks`).

What tokens see is never restricted: each other and the whole prompt. Whether the prompt sees
itself (fully, causally or each position alone) and whether it sees the tokens is a choice, by the
names in `AttentionTypes`. The prompt has to be at the front (`combine.prefix_prompt`). How a
network uses such a mask is `masked_network`'s business.

Shapes: `B` batch, `T` input tokens, `L` target tokens, `P` prompt positions, `S` = P + T.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging

from prompt_tuning.prompts import masks

INPUT_INPUT = "input->input"
INPUT_PROMPT = "input->prompt"
PROMPT_PROMPT = "prompt->prompt"
PROMPT_PROMPT_CAUSAL = "prompt->prompt;causal"
PROMPT_INPUT = "prompt->input"
AttentionTypes = (INPUT_INPUT, INPUT_PROMPT, PROMPT_PROMPT, PROMPT_PROMPT_CAUSAL, PROMPT_INPUT)

_ALWAYS = frozenset((INPUT_INPUT, INPUT_PROMPT))


def resolve_attention(allowable_attention: Iterable[str] | None) -> frozenset[str]:
    """The kinds of attention that hold, after upstream's defaults.

    None is every kind. Tokens always see tokens and prompt. Where the prompt may see itself both
    causally and fully, causally wins; with the default, too, as upstream.

    Raises:
      ValueError: An unknown name.
    """
    if isinstance(allowable_attention, str):
        allowable_attention = (allowable_attention,)
    given = frozenset(AttentionTypes if allowable_attention is None else allowable_attention)
    for name in sorted(given - frozenset(AttentionTypes)):
        near = difflib.get_close_matches(name, AttentionTypes, n=1)
        raise ValueError(
            f"allowable_attention has {name!r}; accepted are {', '.join(AttentionTypes)}"
            + (f" (did you mean {near[0]!r}?)" if near else "")
            + ". Set allowable_attention."
        )
    if {PROMPT_PROMPT, PROMPT_PROMPT_CAUSAL} <= given:
        if allowable_attention is not None:
            logging.warning("%r is ignored beside %r.", PROMPT_PROMPT, PROMPT_PROMPT_CAUSAL)
        given -= {PROMPT_PROMPT}
    return given | _ALWAYS


def summarize_attention(attentions: Iterable[str] | None, decoder: bool = False) -> str:
    """Says in words what may see what.

    Args:
      attentions: Names of `AttentionTypes`; None is the default, all of them.
      decoder: The mask is that of a prefix language model.
    """
    resolved = resolve_attention(attentions)
    lines = ["What attention may see:"]
    for name in AttentionTypes:
        if name in resolved:
            query, key = name.removesuffix(";causal").split("->")
            how = ", earlier positions and its own only" if name.endswith(";causal") else ""
            lines.append(f"  {query} positions see the {key}{how}")
    if decoder:
        lines.append("  target positions see prompt, inputs and earlier targets")
    return "\n".join(lines)


def prompt_visibility(in_prompt: jax.Array, live: jax.Array, allowed: frozenset[str]) -> jax.Array:
    """Which position (axis 1) may see which (axis 2), bool `[B, S, S]`.

    Args:
      in_prompt: Bool `[B, S]`, true at the prompt's positions.
      live: Bool `[B, S]`, false at padding.
      allowed: From `resolve_attention`.
    """
    full = jnp.ones(in_prompt.shape[1:] * 2, jnp.bool_)
    if PROMPT_PROMPT_CAUSAL in allowed:
        within_prompt = jnp.tril(full)
    elif PROMPT_PROMPT in allowed:
        within_prompt = full
    else:
        # With nothing else to attend to, each prompt position reads its own value.
        within_prompt = jnp.eye(full.shape[0], dtype=jnp.bool_)
    to_prompt = in_prompt[:, None, :]
    seen_by_prompt = jnp.where(to_prompt, within_prompt[None], PROMPT_INPUT in allowed)
    visible = ~in_prompt[:, :, None] | seen_by_prompt
    return visible & live[:, :, None] & live[:, None, :]


def _in_prompt(tokens: jax.Array, prompt_length: int) -> jax.Array:
    """Bool `[B, P + T]`, for `tokens [B, T]` behind a prompt."""
    positions = jnp.arange(prompt_length + tokens.shape[1])[None]
    return jnp.broadcast_to(positions < prompt_length, (tokens.shape[0], positions.shape[1]))


def prompt_encoder_attention_mask(
    prompt_length: int,
    allowable_attention: Iterable[str] | None = None,
    multitask: bool = False,
) -> masks.EncoderMaskFn:
    """The encoder's mask with a choice of what the prompt sees.

    Args:
      prompt_length: `P`.
      allowable_attention: Names of `AttentionTypes`; see `resolve_attention`.
      multitask: The first token is a task index that the model removes: drop it.

    Returns:
      `(tokens [B, T], dtype) -> [B, 1, P + T, P + T]`, one token less with `multitask`.

    Raises:
      ValueError: An unknown name in `allowable_attention`.
    """
    allowed = resolve_attention(allowable_attention)
    fake_prompt = masks.add_fake_prompt(prompt_length, multitask)
    logging.info("%s", summarize_attention(allowed))

    def encoder_mask(encoder_input_tokens: jax.Array, dtype: Any = jnp.float32) -> jax.Array:
        live = fake_prompt(encoder_input_tokens) > 0
        in_prompt = _in_prompt(live[:, prompt_length:], prompt_length)
        return prompt_visibility(in_prompt, live, allowed)[:, None].astype(dtype)

    return encoder_mask


def prompt_decoder_attention_mask(
    prompt_length: int,
    allowable_attention: Iterable[str] | None = None,
    multitask: bool = False,
) -> masks.DecoderOnlyMaskFn:
    """The mask of a prompted decoder-only model with a choice of what the prompt sees.

    The choice concerns prefix language models, whose inputs are marked by
    `decoder_causal_attention`; without it the mask is causal over prompt and tokens. Upstream
    fails when `allowable_attention` is None; here it is every kind, as for the encoder.

    Args:
      prompt_length: `P`.
      allowable_attention: Names of `AttentionTypes`; see `resolve_attention`.
      multitask: The first token is a task index that the model removes: drop it.

    Returns:
      `(targets [B, L], causal attention [B, L] or None, dtype) -> [B, 1, P + L, P + L]`, one token
      less with `multitask`.

    Raises:
      ValueError: An unknown name in `allowable_attention`.
    """
    allowed = resolve_attention(allowable_attention)
    fake_prompt = masks.add_fake_prompt(prompt_length, multitask)
    logging.info("%s", summarize_attention(allowed, decoder=True))

    def decoder_mask(
        decoder_target_tokens: jax.Array,
        decoder_causal_attention: jax.Array | None = None,
        dtype: Any = jnp.float32,
    ) -> jax.Array:
        live = fake_prompt(decoder_target_tokens) > 0
        causal = jnp.tril(jnp.ones((live.shape[1],) * 2, jnp.bool_))[None]
        if decoder_causal_attention is None:
            visible = causal
        else:
            in_prompt = _in_prompt(live[:, prompt_length:], prompt_length)
            prefix = fake_prompt(decoder_causal_attention) > 0
            # Plain causal attention must not give the prompt back what it may not see.
            visible = prompt_visibility(in_prompt, prefix, allowed) | (
                causal & ~in_prompt[:, :, None]
            )
        return (visible & live[:, :, None] & live[:, None, :])[:, None].astype(dtype)

    return decoder_mask
