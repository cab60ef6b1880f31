# SPDX-License-Identifier: Apache-2.0
"""Tunes a prompt for the bundled task on given frozen weights: how README.md's table is measured.

It is the smallest complete use of the network, the prompt and the trainer. The product's way to the
same result, with configuration, checkpoints and evaluation files, is `prompt_tuning.train`.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from flax import traverse_util

from prompt_tuning.bundled import lexicon, world
from prompt_tuning.bundled.pretraining import encoded_text, objectives, probes, tiny_model
from prompt_tuning.prompts import combine, initializers, prompted_network
from prompt_tuning.prompts import prompt as prompt_modules
from prompt_tuning.training import adafactor, optimizers, schedules, trainer

PROMPT_NAME = "encoder/prompt/prompt/prompt"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a prompt; the defaults are those of the table.

    Attributes:
      length: P.
      steps: training steps.
      batch_size: examples in a step.
      learning_rate: constant; Adafactor without parameter scaling (Lester et al. 2021, section 2).
      seed: of the initial prompt and the order of the examples.
      train_examples: size of the training set.
      eval_examples: size of the test and of the validation set.
    """

    length: int = 20
    steps: int = 150
    batch_size: int = 32
    learning_rate: float = 0.3
    seed: int = 0
    train_examples: int = 4000
    eval_examples: int = 1000


@dataclasses.dataclass(frozen=True)
class Result:
    """A tuned prompt [P, H], float32, and its scores on held-out and on known opinion words."""

    prompt: np.ndarray
    test: probes.Scores
    validation: probes.Scores


def prompted_module(embeddings: np.ndarray, length: int) -> prompted_network.PromptedTransformer:
    """The bundled network with a prompt that starts from rows of the embeddings [V, H]."""

    def make_prompt() -> combine.Prompt:
        init = initializers.from_sample_of_embeddings(embeddings)
        return combine.Prompt(prompt_modules.Prompt(length, init), combine.prefix_prompt)

    return prompted_network.PromptedTransformer(tiny_model.config(), prompt_factory=make_prompt)


def training_batches(recipe: Recipe) -> Iterator[objectives.Batch]:
    """Batches of the train split: reviews without EOS, the label word with EOS."""
    examples = world.classification_examples("train", recipe.train_examples)
    inputs = encoded_text.encode([text for text, _ in examples])
    targets = dict(zip(lexicon.LABELS, encoded_text.label_tokens(), strict=True))
    generator = np.random.Generator(np.random.PCG64(recipe.seed))
    lengths = objectives.Lengths(targets=4)
    for _ in range(recipe.steps):
        rows = generator.choice(len(examples), recipe.batch_size, replace=False)
        yield objectives.to_batch([(inputs[i], targets[examples[i][1]]) for i in rows], lengths)


def tune(params: Mapping[str, np.ndarray], recipe: Recipe = Recipe()) -> Result:
    """Tunes a prompt on the A words and scores it on the B words.

    Args:
      params: the frozen weights, flat, float32.
      recipe: the settings.
    """
    module = prompted_module(params["token_embedder/embedding"], recipe.length)
    fresh = tiny_model.initial_params(module, recipe.seed)
    job = trainer.Trainer(
        tiny_model.encoder_decoder(module),
        optimizers.MultiOptimizer(
            [
                (
                    optimizers.ModelParamTraversal(optimizers.match_any([".*/prompt/.*"])),
                    adafactor.Adafactor(multiply_by_parameter_scale=False, weight_decay_rate=1e-5),
                )
            ]
        ),
        schedules.create_learning_rate_scheduler("constant", recipe.learning_rate),
        rng=jax.random.key(recipe.seed),
    )
    state, frozen = job.init_state({**params, PROMPT_NAME: fresh[PROMPT_NAME]})
    for batch in training_batches(recipe):
        state, _ = job.train_step(state, frozen, batch)
    merged = traverse_util.unflatten_dict({**frozen, **state.params}, sep="/")
    test, validation = (
        probes.first_token_scores(
            module, merged, encoded_text.classification(split, recipe.eval_examples)
        )
        for split in ("test", "validation")
    )
    return Result(np.asarray(state.params[PROMPT_NAME]), test, validation)


def without_prompt(params: Mapping[str, np.ndarray]) -> probes.Scores:
    """Scores of the frozen weights alone on the held-out opinion words."""
    module = prompted_module(params["token_embedder/embedding"], 1)
    nested = traverse_util.unflatten_dict(dict(params), sep="/")
    width = params["token_embedder/embedding"].shape[1]
    no_prompt = np.zeros((0, width), np.float32)
    return probes.first_token_scores(
        module, nested, encoded_text.classification("test", 1000), no_prompt
    )
