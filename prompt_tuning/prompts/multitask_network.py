# SPDX-License-Identifier: Apache-2.0
"""An encoder whose prompt depends on the task that the first token of each example names.

The token is dropped: it is neither embedded nor attended to. What the prompt of a task is made of
is in `multitask_prompt`.

Shapes: `B` batch, `T` input tokens with the task's, `P` prompt positions, `S` = P + T - 1,
`H` embed.
"""

import jax
import jax.numpy as jnp

from prompt_tuning.prompts import combine, masked_network


class MultiTaskPrompt(combine.Prompt):
    """Placement of prompts that already have a batch axis, after the task's token is dropped.

    Attributes:
      prompt: A `multitask_prompt.MultiTaskPrompt`; its parameters are
        `encoder/prompt/prompt/shared_prompt` and `encoder/prompt/prompt/task_prompts/embedding`.
      combine: The placement. It gets the tokens without the task's; upstream passes them with it,
        which puts a suffix one position too far back.
    """

    def __call__(self, x: jax.Array, x_embed: jax.Array) -> jax.Array:
        """Returns `[B, S, H]` for `x [B, T]` and `x_embed [B, T, H]`."""
        return self.combine(self.prompt(x, x_embed), x_embed[:, 1:], x[:, 1:])


class MultiTaskEncoder(masked_network.MaskedPromptedEncoder):
    """Encoder with a `MultiTaskPrompt`; attention in the prompt is causal unless told otherwise."""

    prompt: MultiTaskPrompt

    def embed(
        self,
        tokens: jax.Array,
        prompt: jax.Array | None = None,
        prompt_live: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """As `PromptedEncoder.embed`, without the first token; `prompt` replaces every task's."""
        if prompt is None and prompt_live is None:
            width = jax.ShapeDtypeStruct((*tokens.shape, self.config.emb_dim), jnp.float32)
            prompt = self.prompt.prompt(tokens, width)
        return super().embed(tokens[:, 1:], prompt, prompt_live)

    def attention_mask(self, tokens: jax.Array, live: jax.Array) -> jax.Array:
        """Which position may attend to which, bool `[B, 1, S, S]`; `tokens` with the task's."""
        return super().attention_mask(tokens[:, 1:], live)
