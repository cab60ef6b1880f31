# SPDX-License-Identifier: Apache-2.0
"""What a prompt is compared with: the same trainer, data and steps, with another subset."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.partitioning import partitioner
from prompt_tuning.runs import evaluation, initialization
from prompt_tuning.training import adafactor, loop, optimizers, subset
from prompt_tuning.training import trainer as trainer_lib


class _WithoutPrompt:
    """A model whose loss is computed with a prompt of length 0."""

    def __init__(self, model: Any):
        self._model = model

    def arrange(self, params):
        return self._model.arrange(params)

    def memory_kind(self, name):
        return self._model.memory_kind(name)

    @property
    def rows_are_separate(self):
        return self._model.rows_are_separate

    def loss_fn(self, params, batch, dropout_rng):
        extra = evaluation.no_prompt(self._model)
        return self._model.loss_fn(params, batch, dropout_rng, **extra)


def tune_model(
    model: Any,
    trainer_cls: Callable[..., trainer_lib.Trainer],
    initial: initialization.InitialParameters,
    batches: Iterator[Mapping[str, Any]],
    last_step: int,
    *,
    learning_rate: float,
    rng: jax.Array,
    part: partitioner.Partitioner,
    display: Any,
) -> dict[str, jax.Array]:
    """Trains every weight but the prompt, which is left out; returns them, flat.

    Adafactor with steps in proportion to each weight's size and no weight decay, as T5 was fine-tuned
    (Raffel et al. 2020), at a constant learning rate.
    """
    params = {name: value for name, value in initial.params.items() if name not in initial.drawn}
    optimizer = optimizers.MultiOptimizer(
        [(optimizers.ModelParamTraversal(subset.match_any([".*"])), adafactor.Adafactor())]
    )
    trainer = trainer_cls(
        _WithoutPrompt(model),
        optimizer,
        rng=rng,
        partitioner=part,
        learning_rate_fn=lambda step: jnp.float32(learning_rate),
    )
    state, frozen = trainer.init_state(params, initial.step)
    result = loop.run_training(trainer, state, frozen, batches, last_step, progress=display)
    if result.interrupted:
        raise KeyboardInterrupt(f"{result.interrupted}: the baseline is not resumed")
    return subset.merge(result.state.params, frozen)
