# SPDX-License-Identifier: Apache-2.0
"""Prompts that are held near a text while they train (Khashabi et al. 2022, arXiv:2112.08348).

The loss gets one more term, the distance between the prompt and the embeddings of a description of
the task. The functions besides the model are what gin files need to write that down.

Shapes: `P` prompt positions, `H` embed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from prompt_tuning.models import models


def length(x: Sequence[Any]) -> int:
    """`len` under a name that gin can bind: PROMPT_LENGTH is that of TASK_PIECES."""
    return len(x)


def interpolate(s: str, format_values: Sequence[Any] | Mapping[str, Any] | None = None) -> str:
    """A text with `{}` or `{name}` in it filled in.

    Args:
      s: The text [TASK_STRING].
      format_values: By position or, if a mapping, by name [VERBALIZERS]; None fills in nothing.
    """
    if format_values is None:
        return s
    if isinstance(format_values, Mapping):
        return s.format(**format_values)
    return s.format(*format_values)


def encode_string(
    s: str, vocab: Any, format_values: Sequence[Any] | Mapping[str, Any] | None = None
) -> list[Any]:
    """The pieces of a text, after it is filled in.

    Args:
      s: See `interpolate`.
      vocab: Has `encode(text) -> ids`, without an end token.
      format_values: See `interpolate`.

    Returns:
      One id for each piece. (Upstream gives their spelling; only the length matters.)
    """
    return list(vocab.encode(interpolate(s, format_values)))


def execute_initializer(
    init: Callable[[jax.Array | None, Sequence[int]], jax.Array],
    rng: jax.Array | None,
    shape: Sequence[int],
) -> jax.Array:
    """Calls an initializer where gin needs its result."""
    return init(rng, tuple(shape))


def squared_l2(x: jax.Array) -> jax.Array:
    """Squared norm of each row: `[P, H] -> [P]`."""
    return jnp.sum(jnp.square(x), axis=1)


def squared_l2_distance(x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean over positions of the squared distance between `[P, H]` and `[P, H]`, a scalar."""
    return jnp.mean(squared_l2(x - y))


class WaywardPromptEncoderDecoderModel(models.EncoderDecoderModel):
    """`EncoderDecoderModel` with `gamma * distance(prompt, discrete_prompt)` added to its loss.

    The metrics are those of the plain model: their loss is without the added term.
    """

    def __init__(
        self,
        *args: Any,
        gamma: float = 0.01,
        distance: Callable[[jax.Array, jax.Array], jax.Array] = squared_l2_distance,
        discrete_prompt: jax.typing.ArrayLike | None = None,
        prompt_path: str = "encoder/prompt/prompt/prompt",
        **kwargs: Any,
    ):
        """Initializes the model.

        Args:
          *args: Of `EncoderDecoderModel`.
          gamma: Weight of the distance.
          distance: Of two arrays `[P, H]`, a scalar.
          discrete_prompt: `[P, H]`, the embedded text.
          prompt_path: The prompt's parameter.
          **kwargs: Of `EncoderDecoderModel`.

        Raises:
          ValueError: `discrete_prompt` is missing or not `[P, H]`.
        """
        super().__init__(*args, **kwargs)
        if discrete_prompt is None or np.ndim(discrete_prompt) != 2:
            got = None if discrete_prompt is None else np.shape(discrete_prompt)
            raise ValueError(
                f"discrete_prompt is {got if got is None else f'of shape {got}'}; it must be an "
                "array (P, H). Set WaywardPromptEncoderDecoderModel.discrete_prompt."
            )
        self._gamma = gamma
        self._distance = distance
        self._discrete_prompt = np.asarray(discrete_prompt)
        self._prompt_path = prompt_path

    def loss_fn(
        self,
        params: models.Params,
        batch: models.Batch,
        dropout_rng: jax.Array | None = None,
        **extra: Any,
    ) -> tuple[jax.Array, models.Metrics]:
        """As `EncoderDecoderModel.loss_fn`, the distance added to the loss.

        Raises:
          ValueError: `prompt_path` names no parameter, or one whose shape is not that of
            `discrete_prompt`.
        """
        loss, metrics = super().loss_fn(params, batch, dropout_rng, **extra)
        prompt = traverse_util.flatten_dict(params, sep="/").get(self._prompt_path)
        if prompt is None or prompt.shape != self._discrete_prompt.shape:
            got = "not there" if prompt is None else f"of shape {prompt.shape}"
            raise ValueError(
                f"the parameter {self._prompt_path!r} is {got}; it must have the shape "
                f"{self._discrete_prompt.shape} of the text. Set prompt_path or PROMPT_LENGTH."
            )
        distance = self._distance(prompt, jnp.asarray(self._discrete_prompt))
        return loss + self._gamma * distance, metrics
