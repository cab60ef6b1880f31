# SPDX-License-Identifier: Apache-2.0
"""A prompt before a decoder-only network, and the model that searches with it.

The prompt is read once, with the inputs, and stays in the cache; logits are those of the tokens
alone. It has to be a prefix.

Shapes: `B` batch, `L` tokens, `P` prompt positions, `S` = P + L, `H` embed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.models import decoder_only_model, decoder_only_network
from prompt_tuning.prompts import combine, masks
from prompt_tuning.prompts import prompt as prompt_modules


class PromptDecoder(decoder_only_network.Decoder):
    """A decoder that reads a prompt first; its parameter is `decoder/prompt/prompt/prompt`.

    Attributes:
      prompt: The prompt module, placed by `combine.prefix_prompt`.
      decoder_mask_factory: Called without arguments, makes a mask function for this prompt's
        length, such as `extended_masks.prompt_decoder_attention_mask`; None is the mask of
        `masks.create_prompt_decoder_only_mask`, for any length.
    """

    prompt: combine.Prompt
    decoder_mask_factory: Callable[[], masks.DecoderOnlyMaskFn] | None = None

    def embed(self, tokens: jax.Array, prompt: jax.Array | None = None) -> jax.Array:
        """What the first layer sees, `[B, S, H]`, of `tokens [B, L]`.

        Args:
          tokens: Inputs and targets, shifted right.
          prompt: `[P, H]` for all examples or `[B, P, H]`, used instead of the parameter; `[0, H]`
            is no prompt.
        """
        x_embed = super().embed(tokens)
        if prompt is None:
            return self.prompt(tokens, x_embed)
        if prompt.ndim == 2:
            prompt = prompt_modules.expand_to_batch(prompt, x_embed)
        return self.prompt.combine(prompt, x_embed, tokens)

    def attention_mask(
        self, target_tokens: jax.Array, causal_attention: jax.Array | None, before: int
    ) -> jax.Array:
        """As `Decoder.attention_mask`, or by `decoder_mask_factory`."""
        if self.decoder_mask_factory is None:
            return super().attention_mask(target_tokens, causal_attention, before)
        mask = self.decoder_mask_factory()(target_tokens, causal_attention, jnp.bool_)
        if mask.shape[-1] != before + target_tokens.shape[1]:
            raise ValueError(
                f"decoder_mask_factory makes masks for {mask.shape[-1] - target_tokens.shape[1]} "
                f"prompt positions, and the prompt has {before}; give it the PROMPT_LENGTH."
            )
        return mask


@dataclasses.dataclass(frozen=True)
class _DecoderFactory:
    """Makes the prompt and the decoder around it; equal where its fields are."""

    prompt_factory: Callable[[], combine.Prompt]
    decoder_mask_factory: Callable[[], masks.DecoderOnlyMaskFn] | None

    def __call__(self, **fields: Any) -> PromptDecoder:
        return PromptDecoder(
            prompt=self.prompt_factory(),
            decoder_mask_factory=self.decoder_mask_factory,
            **fields,
        )


class PromptDecoderOnly(decoder_only_network.DecoderOnly):
    """A decoder-only network with a prompt.

    Attributes:
      prompt_factory: Called without arguments, returns the prompt module with its placement.
      decoder_mask_factory: See `PromptDecoder`.
      decoder_factory: Set by this class.
    """

    prompt_factory: Callable[[], combine.Prompt] = dataclasses.field(kw_only=True)
    decoder_mask_factory: Callable[[], masks.DecoderOnlyMaskFn] | None = dataclasses.field(
        default=None, kw_only=True
    )

    def __post_init__(self):
        self.decoder_factory = _DecoderFactory(self.prompt_factory, self.decoder_mask_factory)
        super().__post_init__()


class PromptDecoderOnlyModel(decoder_only_model.DecoderOnlyModel):
    """`DecoderOnlyModel` under upstream's name and with its first argument.

    The length is not needed here, because the network gives logits for the tokens alone; it is
    compared with the network's, so that a configuration that disagrees with itself is noticed.
    """

    def __init__(self, prompt_length: int, *args: Any, **kwargs: Any):
        """Initializes the model.

        Args:
          prompt_length: `P`.
          *args: Of `DecoderOnlyModel`.
          **kwargs: Of `DecoderOnlyModel`.

        Raises:
          ValueError: The network's own prompt has another length.
        """
        super().__init__(*args, **kwargs)
        length = getattr(self.module.prompt_factory().prompt, "length", prompt_length)
        if length != prompt_length:
            raise ValueError(
                f"prompt_length is {prompt_length}, and the network's prompt has {length} "
                "positions; give both %PROMPT_LENGTH."
            )
