# SPDX-License-Identifier: Apache-2.0
"""The prompt itself: `P` vectors of the model's width, as a parameter or as a constant.

A module here yields the prompt and nothing more. Where it goes among the tokens is `combine`'s
business, who may attend to it that of `masks` and `prompted_network`, and which values it starts
from that of `initializers`.

Shapes: `B` batch, `T` input tokens, `P` prompt positions, `H` embed.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.prompts import initializers


def expand_to_batch(x: jax.Array, y: jax.Array) -> jax.Array:
    """Repeats an array without a batch dimension once for each example of another.

    Args:
      x: `[...]`, for example a prompt `[P, H]`.
      y: `[B, ...]`; only its batch size is used.

    Returns:
      `[B, ...]`, `x` for every example.
    """
    x = jnp.asarray(x)
    return jnp.broadcast_to(x[None], (y.shape[0], *x.shape))


class Prompt(nn.Module):
    """A trainable prompt (Lester et al. 2021, section 2), the parameter named `prompt`.

    The parameter is float32 whatever the initializer and the activations are: trained prompts reach
    token norms near 1000, where neighbouring bfloat16 numbers are 4 apart.

    Attributes:
      length: `P`.
      prompt_init: Called as `prompt_init(rng, (P, H))`.
      axis_names: Logical names of the two axes, for sharding rules. The second is not the model's
        `embed`, so a prompt stays whole on each host where `embed` is sharded.
      dtype: What the prompt is returned in; the parameter does not change.
    """

    length: int
    prompt_init: initializers.Initializer = initializers.uniform()
    axis_names: tuple[str, str] = ("prompt", "prompt_embed")
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, x_embed: jax.Array) -> jax.Array:
        """Returns the prompt `[P, H]` for tokens `x [B, T]` embedded as `x_embed [B, T, H]`.

        Only the width `H` is taken from the arguments; they are there for prompts that depend on
        their input.
        """
        del x
        if self.length < 0:
            raise ValueError(
                f"the prompt's length is {self.length}; it must not be negative: --prompt_length "
                "(PROMPT_LENGTH)."
            )
        prompt = self.param("prompt", self._init_float32, (self.length, x_embed.shape[-1]))
        return prompt.astype(self.dtype)

    def _init_float32(self, rng: jax.Array, shape: tuple[int, int]) -> jax.Array:
        return jnp.asarray(self.prompt_init(rng, shape), jnp.float32)


class InferenceOnlyPrompt(nn.Module):
    """A prompt that is a constant of the program and no parameter: no checkpoint has to hold it.

    Restoring a checkpoint for a model with this prompt needs no `fallback_to_scratch`, and an
    `assignment_map` rule for `.*prompt.*` would match nothing.

    Attributes:
      length: `P`.
      embed_dim: `H`.
      prompt_init: Called as `prompt_init(PRNGKey(0), (P, H))`; normally `initializers.from_array`.
      dtype: What the prompt is returned in.
    """

    length: int
    embed_dim: int
    prompt_init: initializers.Initializer
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.prompt = self.prompt_init(jax.random.PRNGKey(0), (self.length, self.embed_dim))

    def __call__(self, x: jax.Array, x_embed: jax.Array) -> jax.Array:
        """Returns the prompt `[P, H]`; tokens `x [B, T]` and `x_embed [B, T, H]` are not read."""
        del x, x_embed
        return self.prompt.astype(self.dtype)
