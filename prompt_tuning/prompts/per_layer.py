# SPDX-License-Identifier: Apache-2.0
"""Prompts at every encoder layer: each layer's input has its first positions replaced or changed.

This is not prefix tuning (Li and Liang 2021): the prompts still go through the layer's frozen
query, key and value projections, and nothing reparameterizes them.

The prompts are float32 unless told otherwise, and that promotes the residual stream of a bfloat16
encoder to float32 from the first layer on. Upstream's numbers include that.

Shapes: `B` batch, `P` prompt positions, `S` positions, prompt included, `H` embed.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from prompt_tuning.models import network
from prompt_tuning.prompts import combine, prompted_network


def replace_prompt(prompt: jax.Array, x_embed: jax.Array, x: jax.Array) -> jax.Array:
    """Puts the prompt in the place of the first `P` positions.

    Args:
      prompt: `[B, P, H]`.
      x_embed: `[B, S, H]`.
      x: `[B, S]`, not read.

    Returns:
      `[B, S, H]`, in float32 if either is.

    Raises:
      ValueError: `P` is more than `S`.
    """
    del x
    _check_room(prompt, x_embed)
    return jnp.concatenate([prompt, x_embed[:, prompt.shape[1] :]], axis=1)


def add_prompt(prompt: jax.Array, x_embed: jax.Array, x: jax.Array) -> jax.Array:
    """Adds the prompt to the first `P` positions; shapes, dtype and errors of `replace_prompt`."""
    del x
    _check_room(prompt, x_embed)
    length = prompt.shape[1]
    return jnp.concatenate([x_embed[:, :length] + prompt, x_embed[:, length:]], axis=1)


def _check_room(prompt: jax.Array, x_embed: jax.Array) -> None:
    if prompt.shape[1] > x_embed.shape[1]:
        raise ValueError(
            f"a layer's prompt has {prompt.shape[1]} positions, and the encoder reads only "
            f"{x_embed.shape[1]}; give PER_LAYER_PROMPT no more than PROMPT has."
        )


class PromptEncoderLayer(network.EncoderLayer):
    """An encoder layer whose input is changed by a prompt, `encoder/layers_i/prompt/prompt/prompt`.

    Attributes:
      prompt: The prompt, with `replace_prompt` or `add_prompt` as its placement.
    """

    prompt: combine.Prompt

    def __call__(
        self, x: jax.Array, keep: jax.Array, bias: jax.Array, deterministic: bool
    ) -> jax.Array:
        """As `EncoderLayer.__call__`."""
        # A layer has no token ids; which positions are real is what a placement reads of them.
        x = self.prompt(keep[..., 0], x)
        return super().__call__(x, keep, bias, deterministic)


class PerLayerPromptedEncoder(prompted_network.PromptedEncoder):
    """An encoder with a prompt among its input and one at each layer.

    Attributes:
      layer_prompt_factory: Called without arguments, once for each layer.
    """

    layer_prompt_factory: Callable[[], combine.Prompt]

    def make_layer(self) -> PromptEncoderLayer:
        """A layer with a prompt of its own."""
        return PromptEncoderLayer(self.config, prompt=self.layer_prompt_factory())

    @property
    def residual_dtype(self) -> jnp.dtype:
        """As wide as the prompts; what the first layer reads is exact in it."""
        layer = self.layers if self.config.scan_layers else self.layers[0]
        return jnp.promote_types(self.config.dtype, layer.prompt.prompt.dtype)

    def embed(
        self,
        tokens: jax.Array,
        prompt: jax.Array | None = None,
        prompt_live: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """As `PromptedEncoder.embed`, for its own prompt only.

        Raises:
          ValueError: `prompt` or `prompt_live` is given. The layers would still change the
            positions that their prompts were trained for.
        """
        if prompt is not None or prompt_live is not None:
            raise ValueError(
                "a prompt was given to an encoder with prompts at every layer, which one array "
                "cannot replace; for results without a prompt use the plain architecture "
                "(prompt_tuning/configs/architectures/t5_1_1_flaxformer.gin)."
            )
        return super().embed(tokens)
