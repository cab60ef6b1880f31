# SPDX-License-Identifier: Apache-2.0
"""Prompts of several tasks at once: one shared part, and one part for each task.

The first token of every example says which task it is. A module here turns it into a prompt for
that example and nothing more; that the token is then dropped, and where the prompt goes, is
`multitask_network`'s business. The modules differ in how the two parts become one; upstream gives
them functions (`get_task_size`, ...) where these have methods to override.

Shapes: `B` batch, `T` input tokens, `P` prompt positions, `H` embed; `P_s`, `H_s` of the shared
part, `P_t`, `H_t` of a task's part.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from prompt_tuning.prompts import initializers
from prompt_tuning.prompts import prompt as prompt_modules


def identity(x: Any) -> Any:
    """Returns `x`: the first token is the index of the task itself."""
    return x


def sentinel_to_task(x: jax.Array, vocab_size: int) -> jax.Array:
    """Index of the task for a sentinel: `<extra_id_i>`, the i-th id from the end, is task i.

    Args:
      x: Token ids.
      vocab_size: Ids of the vocabulary, sentinels included (T5: 32100, not the padded 32128).
    """
    return vocab_size - 1 - x


def add_shared_and_tasks(shared: jax.Array, tasks: jax.Array) -> jax.Array:
    """`shared [P, H]` plus `tasks [B, P*H]`: `[B, P, H]`."""
    return shared[None] + tasks.reshape(-1, *shared.shape)


def concat_shared_and_tasks(shared: jax.Array, tasks: jax.Array) -> jax.Array:
    """`shared [P_s, H]` in front of `tasks [B, P_t*H]`: `[B, P_s + P_t, H]`."""
    tasks = tasks.reshape(tasks.shape[0], -1, shared.shape[1])
    return jnp.concatenate([prompt_modules.expand_to_batch(shared, tasks), tasks], axis=1)


def concat_features_shared_and_tasks(shared: jax.Array, tasks: jax.Array) -> jax.Array:
    """Features of `shared [P, H_s]`, then of `tasks [B, P*H_t]`: `[B, P, H_s + H_t]`."""
    tasks = tasks.reshape(tasks.shape[0], shared.shape[0], -1)
    return jnp.concatenate([prompt_modules.expand_to_batch(shared, tasks), tasks], axis=2)


def project_shared_with_tasks(shared: jax.Array, tasks: jax.Array) -> jax.Array:
    """`shared [P, H_s]` through each task's affine map: `[B, P, H]`.

    Args:
      shared: The input of the maps.
      tasks: `[B, H*H_s + H]`: a kernel `[H, H_s]`, output features first, then a bias `[H]`.
    """
    features = shared.shape[1]
    width = tasks.shape[1] // (features + 1)
    kernel = tasks[:, : width * features].reshape(-1, width, features)
    bias = tasks[:, None, width * features :]
    return jnp.einsum("pi,boi->bpo", shared, kernel) + bias


class MultiTaskPrompt(nn.Module):
    """Base of the multitask prompts; parameters `shared_prompt` and `task_prompts/embedding`.

    Attributes:
      length: `P_s`, positions of the shared part.
      num_tasks: How many tasks there are. A task index outside of them makes the prompt NaN.
      to_task_idx: First tokens `[B]` to task indices `[B]`.
      shared_init: Called as `shared_init(rng, (P_s, H_s))`.
      tasks_init: Called as `tasks_init(rng, (num_tasks, size))`.
      shared_prompt_axis_names: Logical names of the shared parameter's axes, for sharding rules.
      individual_prompt_axis_names: The same for the tasks' parameter.
      dtype: What the shared part is cast to before the tasks' joins it, and what the prompt is
        returned in; the parameters, and so the tasks' part, are float32.
    """

    length: int
    num_tasks: int
    to_task_idx: Callable[[jax.Array], jax.Array] = identity
    shared_init: initializers.Initializer = initializers.uniform()
    tasks_init: initializers.Initializer = initializers.uniform()
    shared_prompt_axis_names: tuple[str, str] = ("prompt", "embed")
    individual_prompt_axis_names: tuple[str, str] = ("tasks", "prompt+embed")
    dtype: jnp.dtype = jnp.float32

    def get_shared_features(self, x_embed_features: int) -> int:
        """`H_s`, of a model of width `x_embed_features`."""
        return x_embed_features

    def get_task_size(self, shared_length: int, shared_features: int) -> int:
        """How many numbers belong to one task."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_task_size")

    def combine_shared_and_tasks(self, shared: jax.Array, tasks: jax.Array) -> jax.Array:
        """`[P_s, H_s]` and `[B, size]` to `[B, P, H]`."""
        raise NotImplementedError(f"{type(self).__name__} does not define combine_shared_and_tasks")

    @nn.compact
    def __call__(self, x: jax.Array, x_embed: jax.Array) -> jax.Array:
        """The prompts `[B, P, H]` of tokens `x [B, T]`, whose first column names the task.

        Only the width `H` is taken from `x_embed [B, T, H]`.

        Raises:
          ValueError: The parts together do not have the model's width.
        """
        width = x_embed.shape[-1]
        features = self.get_shared_features(width)
        shared = self.param("shared_prompt", _float32(self.shared_init), (self.length, features))
        embedding = nn.Embed(
            self.num_tasks,
            self.get_task_size(self.length, features),
            embedding_init=_float32(self.tasks_init),
            name="task_prompts",
        )
        task = self.to_task_idx(x[:, 0])
        # A negative index would count from the end; this one is out of range, hence NaN.
        tasks = embedding(jnp.where(task < 0, self.num_tasks, task))
        prompt = self.combine_shared_and_tasks(shared.astype(self.dtype), tasks)
        if prompt.shape[-1] != width:
            raise ValueError(
                f"{type(self).__name__} makes prompts of width {prompt.shape[-1]}, and the model "
                f"has {width}; change shared_features or task_features."
            )
        return prompt.astype(self.dtype)


def _float32(init: initializers.Initializer) -> Callable[..., jax.Array]:
    """The initializer with float32 results; Flax's dtype argument is not passed on."""

    def init_float32(rng: jax.Array, shape: tuple[int, ...], *_: Any) -> jax.Array:
        return jnp.asarray(init(rng, shape), jnp.float32)

    return init_float32


class AddMultiTaskPrompt(MultiTaskPrompt):
    """The sum of the shared prompt and the task's."""

    def get_task_size(self, shared_length: int, shared_features: int) -> int:
        """`P * H`."""
        return shared_length * shared_features

    def combine_shared_and_tasks(self, shared: jax.Array, tasks: jax.Array) -> jax.Array:
        """See `add_shared_and_tasks`."""
        return add_shared_and_tasks(shared, tasks)


class ConcatMultiTaskPrompt(MultiTaskPrompt):
    """The shared prompt, then the task's.

    Attributes:
      task_length: `P_t`; None is that of the shared prompt. The model's `P` is the sum.
    """

    task_length: int | None = None

    def get_task_size(self, shared_length: int, shared_features: int) -> int:
        """`P_t * H`."""
        length = shared_length if self.task_length is None else self.task_length
        return length * shared_features

    def combine_shared_and_tasks(self, shared: jax.Array, tasks: jax.Array) -> jax.Array:
        """See `concat_shared_and_tasks`."""
        return concat_shared_and_tasks(shared, tasks)


class _FeaturesMultiTaskPrompt(MultiTaskPrompt):
    """A shared prompt whose width need not be the model's.

    Attributes:
      task_features: `H_t`; None is `H_s`.
      shared_features: `H_s`; None is the model's width.
    """

    task_features: int | None = None
    shared_features: int | None = None

    def get_shared_features(self, x_embed_features: int) -> int:
        """`H_s`."""
        return x_embed_features if self.shared_features is None else self.shared_features

    def get_task_features(self, shared_features: int) -> int:
        """`H_t`."""
        return shared_features if self.task_features is None else self.task_features


class ConcatFeaturesMultiTaskPrompt(_FeaturesMultiTaskPrompt):
    """At each position the features of the shared prompt, then the task's: `H_s + H_t = H`."""

    def get_task_size(self, shared_length: int, shared_features: int) -> int:
        """`P * H_t`."""
        return shared_length * self.get_task_features(shared_features)

    def combine_shared_and_tasks(self, shared: jax.Array, tasks: jax.Array) -> jax.Array:
        """See `concat_features_shared_and_tasks`."""
        return concat_features_shared_and_tasks(shared, tasks)


class ProjectMultiTaskPrompt(_FeaturesMultiTaskPrompt):
    """The shared prompt through an affine map of each task; `task_features` is then `H`."""

    def get_task_size(self, shared_length: int, shared_features: int) -> int:
        """`H_s * H_t` of the kernel and `H_t` of the bias."""
        del shared_length
        return (shared_features + 1) * self.get_task_features(shared_features)

    def combine_shared_and_tasks(self, shared: jax.Array, tasks: jax.Array) -> jax.Array:
        """See `project_shared_with_tasks`."""
        return project_shared_with_tasks(shared, tasks)
