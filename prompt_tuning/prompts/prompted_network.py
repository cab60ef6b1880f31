# SPDX-License-Identifier: Apache-2.0
"""T5 with a prompt among the encoder's input: the hooks of `models.network.Encoder`, filled in.

The prompt enters after the embedding and before the input dropout, in the activation dtype. It
takes positions like tokens do, is visible to every token and to the decoder, and sees every token.
Which positions are real is placed by the same function as the prompt, so the mask is right for any
placement.

The encoder's own prompt can be replaced for one call by an array, another one for each example if
need be: many prompts in one batch, or none (`[0, H]`), without touching a parameter.

Shapes: `B` batch, `T` input tokens, `P` prompt positions, `S` = P + T, `H` embed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.models import network
from prompt_tuning.prompts import combine
from prompt_tuning.prompts import prompt as prompt_modules


class PromptedEncoder(network.Encoder):
    """An encoder that reads a prompt and tokens; its parameter is `encoder/prompt/prompt/prompt`.

    Attributes:
      prompt: The prompt module and its placement.
    """

    prompt: combine.Prompt

    def embed(
        self,
        tokens: jax.Array,
        prompt: jax.Array | None = None,
        prompt_live: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """What the first layer sees: the prompt among the embedded tokens.

        Args:
          tokens: `[B, T]`.
          prompt: `[P, H]` for all examples or `[B, P, H]` for each its own; used instead of the
            encoder's parameter. `[0, H]` is no prompt.
          prompt_live: Bool `[B, P]`, which positions of `prompt` are real: how prompts of unequal
            length share a batch. The others are moved behind everything, so that each example
            has the distances between positions, hence the numbers, that it has alone.

        Returns:
          `[B, S, H]` in the activation dtype, and bool `[B, S]`: which positions are real.

        Raises:
          ValueError: `prompt` or `prompt_live` has a shape that does not fit the tokens.
        """
        x_embed, live = super().embed(tokens)
        if prompt is None:
            if prompt_live is not None:
                raise ValueError("prompt_live is given without prompt; pass the prompt's array too")
            combined = self.prompt(tokens, x_embed)
        else:
            prompt = _batched(prompt, x_embed)
            combined = self.prompt.combine(prompt, x_embed, tokens)
        shape = (tokens.shape[0], combined.shape[1] - tokens.shape[1])
        if prompt_live is None:
            return combined, self._place(jnp.ones(shape, jnp.bool_), live, tokens)
        if prompt_live.shape != shape:
            raise ValueError(f"prompt_live has shape {prompt_live.shape}, the prompt needs {shape}")
        unused = self._place(~prompt_live, jnp.zeros_like(live), tokens)
        live = self._place(prompt_live, live, tokens)
        order = jnp.argsort(unused, axis=1, stable=True)
        combined = jnp.take_along_axis(combined, order[..., None], axis=1)
        return combined, jnp.take_along_axis(live, order, axis=1)

    def _place(self, of_prompt: jax.Array, of_tokens: jax.Array, tokens: jax.Array) -> jax.Array:
        """`[B, P]` and `[B, T]` to `[B, S]`, in the places of prompt and tokens."""
        return self.prompt.combine(of_prompt[..., None], of_tokens[..., None], tokens)[..., 0]


def _batched(prompt: jax.Array, x_embed: jax.Array) -> jax.Array:
    """The prompt as `[B, P, H]`."""
    if prompt.ndim == 2:
        prompt = prompt_modules.expand_to_batch(prompt, x_embed)
    batch, _, width = x_embed.shape
    if prompt.ndim != 3 or prompt.shape[0] != batch or prompt.shape[2] != width:
        raise ValueError(
            f"the prompt has shape {prompt.shape}; accepted are (P, {width}) and "
            f"({batch}, P, {width}) for this batch and model"
        )
    return prompt


@dataclasses.dataclass(frozen=True)
class _EncoderFactory:
    """Makes the prompt and the encoder around it; equal where the prompt factories are."""

    prompt_factory: Callable[[], combine.Prompt]
    encoder_class: Callable[..., PromptedEncoder]

    def __call__(self, **fields: Any) -> PromptedEncoder:
        return self.encoder_class(prompt=self.prompt_factory(), **fields)


class PromptedTransformer(network.Transformer):
    """Encoder and decoder with a prompt before the encoder; the decoder knows nothing of it.

    Attributes:
      prompt_factory: Called without arguments, returns the prompt module with its placement.
      encoder_class: `PromptedEncoder`, a subclass of it, or either with fields already given.
      encoder_factory: Set by this class.
    """

    prompt_factory: Callable[[], combine.Prompt] = dataclasses.field(kw_only=True)
    encoder_class: Callable[..., PromptedEncoder] = dataclasses.field(
        default=PromptedEncoder, kw_only=True
    )

    def __post_init__(self):
        # The prompt has to be made inside the encoder's scope to get its parameter path, hence a
        # factory and not a module.
        self.encoder_factory = _EncoderFactory(self.prompt_factory, self.encoder_class)
        super().__post_init__()
