# SPDX-License-Identifier: Apache-2.0
"""Learning rate as a product of named factors of the step, T5X's `create_learning_rate_scheduler`.

The result is a function of the (global) step, float32 on the device; it holds no state and knows
no optimizer.
"""

import difflib
from collections.abc import Callable

import jax
import jax.numpy as jnp

LearningRateFn = Callable[[jax.typing.ArrayLike], jax.Array]

_FACTORS = (
    "constant",
    "linear_warmup",
    "linear_decay",
    "rsqrt_decay",
    "rsqrt_normalized_decay",
    "decay_every",
    "cosine_decay",
)
_NEEDS_WARMUP = frozenset({"linear_warmup", "linear_decay"})


def _parse_factors(factors: str) -> list[str]:
    names = [name.strip() for name in factors.split("*")]
    for name in names:
        if name not in _FACTORS:
            near = difflib.get_close_matches(name, _FACTORS, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"unknown learning rate factor {name!r} in {factors!r}; did you mean {near!r}? "
                f"Accepted, joined with '*': {', '.join(_FACTORS)}. Change "
                "utils.create_learning_rate_scheduler.factors."
            )
    return names


def create_learning_rate_scheduler(
    factors: str = "constant * linear_warmup * rsqrt_decay",
    base_learning_rate: float = 0.5,
    warmup_steps: int = 1000,
    decay_factor: float = 0.5,
    steps_per_decay: int = 20000,
    steps_per_cycle: int = 100000,
    step_offset: int = 0,
    min_learning_rate: float = 1e-8,
) -> LearningRateFn:
    """Returns `step -> learning rate` (float32 scalar), the product of `factors` with a floor.

    With s = max(0, step - step_offset), w = warmup_steps and f = decay_factor:

      constant                base_learning_rate
      linear_warmup           min(1, s / w)
      linear_decay            base_learning_rate * min(s / w, 1 + f * (w - s))
      rsqrt_decay             1 / sqrt(max(s, w))
      rsqrt_normalized_decay  sqrt(w) / sqrt(max(s, w))
      decay_every             f ** floor(s / steps_per_decay)
      cosine_decay            (1 + cos(pi * frac(max(0, s - w) / steps_per_cycle))) / 2

    Prompt tuning uses "constant" with 0.3 (Lester et al. 2021, section 2).

    Args:
      factors: factor names joined with "*".
      base_learning_rate: the constant.
      warmup_steps: w; steps, counted from `step_offset`.
      decay_factor: f.
      steps_per_decay: steps between two applications of `decay_every`.
      steps_per_cycle: period of `cosine_decay` in steps.
      step_offset: the step that counts as 0, e.g. the step of the base checkpoint.
      min_learning_rate: floor of the product.

    Raises:
      ValueError: for an unknown factor, a negative rate, or a warm-up factor with `warmup_steps` < 1.
    """
    names = _parse_factors(factors)
    if base_learning_rate < 0:
        raise ValueError(
            f"base_learning_rate is {base_learning_rate}; it must not be negative. Set "
            "--learning_rate or utils.create_learning_rate_scheduler.base_learning_rate."
        )
    if warmup_steps < 1 and _NEEDS_WARMUP.intersection(names):
        raise ValueError(
            f"warmup_steps is {warmup_steps}, but {factors!r} divides by it; it must be at least "
            "1. Change utils.create_learning_rate_scheduler.warmup_steps or the factors."
        )

    def learning_rate(step: jax.typing.ArrayLike) -> jax.Array:
        s = jnp.maximum(0, jnp.asarray(step) - step_offset).astype(jnp.float32)
        value = jnp.float32(1.0)
        for name in names:
            if name == "constant":
                value *= base_learning_rate
            elif name == "linear_warmup":
                value *= jnp.minimum(1.0, s / warmup_steps)
            elif name == "linear_decay":
                down = 1.0 + decay_factor * (warmup_steps - s)
                value *= base_learning_rate * jnp.minimum(s / warmup_steps, down)
            elif name == "rsqrt_decay":
                value /= jnp.sqrt(jnp.maximum(s, warmup_steps))
            elif name == "rsqrt_normalized_decay":
                value *= jnp.sqrt(jnp.float32(warmup_steps))
                value /= jnp.sqrt(jnp.maximum(s, warmup_steps))
            elif name == "decay_every":
                value *= decay_factor ** jnp.floor(s / steps_per_decay)
            else:
                progress = jnp.maximum(0.0, (s - warmup_steps) / steps_per_cycle)
                value *= 0.5 * (1.0 + jnp.cos(jnp.pi * (progress % 1.0)))
        return jnp.maximum(value, min_learning_rate).astype(jnp.float32)

    return learning_rate
