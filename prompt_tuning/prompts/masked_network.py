# SPDX-License-Identifier: Apache-2.0
"""An encoder that restricts what its prompt may see; `extended_masks` says what can be restricted.

Shapes: `B` batch, `T` input tokens, `S` positions, prompt included.
"""

import jax
import jax.numpy as jnp

from prompt_tuning.prompts import extended_masks, prompted_network


class MaskedPromptedEncoder(prompted_network.PromptedEncoder):
    """`PromptedEncoder` with a choice of attention; the prompt has to be a prefix.

    Attributes:
      allowable_attention: Names of `extended_masks.AttentionTypes`. None is every kind, which is
        not the plain encoder's mask: causal attention inside the prompt wins over full.
    """

    allowable_attention: tuple[str, ...] | None = None

    def attention_mask(self, tokens: jax.Array, live: jax.Array) -> jax.Array:
        """Which position (axis 2) may attend to which (axis 3): bool `[B, 1, S, S]`."""
        allowed = extended_masks.resolve_attention(self.allowable_attention)
        # Prompts given for this batch may have a length of their own for each example.
        length = jnp.sum(live, axis=1, keepdims=True) - jnp.sum(tokens > 0, axis=1, keepdims=True)
        in_prompt = jnp.arange(live.shape[1])[None] < length
        return extended_masks.prompt_visibility(in_prompt, live, allowed)[:, None]
