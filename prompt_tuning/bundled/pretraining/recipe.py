# SPDX-License-Identifier: Apache-2.0
"""How the bundled model is pre-trained, from the seed to the weights.

Every parameter is trainable here; otherwise it is the trainer of prompt tuning. Half of the steps
are span corruption, half prefix language modelling, and each review is used once.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import jax
import numpy as np
import optax
from absl import logging
from flax import traverse_util

from prompt_tuning.bundled import world
from prompt_tuning.bundled.pretraining import encoded_text, objectives, probes, tiny_model
from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.models import network
from prompt_tuning.training import adafactor, trainer


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a pre-training run; the defaults made the bundled checkpoint.

    Attributes:
      span_steps: steps of span corruption, which come first.
      prefix_steps: steps of prefix language modelling.
      batch_size: examples in a step.
      learning_rate: before it decays; updates are relative to the scale of each parameter.
      warmup_steps: steps of linear warm-up.
      seed: of the text, the examples and the first weights.
      flipped_b: give the B words the opposite polarity, for the control.
    """

    span_steps: int = 900
    prefix_steps: int = 900
    batch_size: int = 32
    learning_rate: float = 0.02
    warmup_steps: int = 50
    seed: int = 0
    flipped_b: bool = False

    @property
    def steps(self) -> int:
        return self.span_steps + self.prefix_steps


def learning_rate_schedule(recipe: Recipe) -> optax.Schedule:
    """Linear warm-up, constant to 60 % of the steps, linear decay to 5 % of the rate."""
    rate, decay_start = recipe.learning_rate, recipe.steps * 6 // 10
    return optax.join_schedules(
        [
            optax.linear_schedule(rate / recipe.warmup_steps, rate, recipe.warmup_steps),
            optax.constant_schedule(rate),
            optax.linear_schedule(rate, 0.05 * rate, recipe.steps - decay_start),
        ],
        [recipe.warmup_steps, decay_start],
    )


def batches(recipe: Recipe) -> Iterator[objectives.Batch]:
    """The batches of all steps, in order."""
    vocabulary = encoded_text.vocabulary()
    texts = world.reviews(recipe.seed, recipe.steps * recipe.batch_size, flipped_b=recipe.flipped_b)
    sequences = encoded_text.encode(texts)
    generator = np.random.Generator(np.random.PCG64(recipe.seed))
    spans = functools.partial(
        objectives.span_corruption, generator=generator, first_sentinel=vocabulary.vocab_size - 1
    )
    prefixes = functools.partial(
        objectives.prefix_language_model,
        generator=generator,
        full_stop=vocabulary.tokenizer.piece_to_id("."),
    )
    border = recipe.span_steps * recipe.batch_size
    batch = functools.partial(
        objectives.batches, batch_size=recipe.batch_size, lengths=objectives.Lengths()
    )
    return itertools.chain(batch(sequences[:border], spans), batch(sequences[border:], prefixes))


def pretrain(recipe: Recipe, log_period: int = 100) -> dict[str, jax.Array]:
    """Trains all parameters and returns them, flat, float32.

    Args:
      recipe: the settings.
      log_period: steps between two log lines with the loss and the scores of the probes. The loss
        falls long before the polarity of words is learned, so only the probes tell a bad run.
    """
    module = network.Transformer(tiny_model.config())
    job = trainer.Trainer(
        tiny_model.encoder_decoder(module),
        adafactor.Adafactor(),
        learning_rate_schedule(recipe),
        rng=jax.random.key(recipe.seed),
    )
    state, frozen = job.init_state(tiny_model.initial_params(module, recipe.seed))
    plain = encoded_text.classification("test", 500)
    verdict = encoded_text.classification("test", 500, suffix=" overall a")
    for step, batch in enumerate(batches(recipe), start=1):
        state, metrics = job.train_step(state, frozen, batch)
        if step % log_period == 0 or step == recipe.steps:
            params = traverse_util.unflatten_dict(state.params, sep="/")
            logging.info(
                "step %d, loss %.3f; held-out words, before a verdict: %s; plain: %s",
                step,
                float(metrics["loss"] / metrics["weight_sum"]),
                probes.first_token_scores(module, params, verdict),
                probes.first_token_scores(module, params, plain),
            )
    return state.params


def write_checkpoint(recipe: Recipe, model_dir: str) -> str:
    """Pre-trains and writes the weights in bfloat16; returns the checkpoint directory.

    Raises:
      ValueError: `model_dir` has a checkpoint of that step. This is found before the training.
    """
    if recipe.steps in t5x_format.checkpoint_steps(model_dir):
        raise ValueError(
            f"{model_dir!r} has a checkpoint of step {recipe.steps} already; remove it or set "
            "--model_dir to another folder."
        )
    params = jax.device_get(pretrain(recipe))
    path = t5x_format.write_checkpoint(model_dir, recipe.steps, params, save_dtype="bfloat16")
    if path is None:
        raise RuntimeError(
            f"{model_dir!r} got a checkpoint of step {recipe.steps} from another process meanwhile; "
            "it was left alone and this result is not saved."
        )
    return path
