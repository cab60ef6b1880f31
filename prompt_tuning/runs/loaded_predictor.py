# SPDX-License-Identifier: Apache-2.0
"""The predictor of an inference run, and what its answers depend on."""

import dataclasses
import hashlib
from typing import Any

import jax
import numpy as np

from prompt_tuning.checkpoints import prompt_files
from prompt_tuning.config import checkpoint_config, dataset_config, gin_functions
from prompt_tuning.inference import predictor, prompt_bank
from prompt_tuning.partitioning import partitioner
from prompt_tuning.runs import answer_settings, artifact_checks, initialization

WINDOW = 1024  # Rows that are sorted by length together.


@dataclasses.dataclass(frozen=True)
class LoadedPredictor:
    """A predictor.

    Attributes:
      predictor: it reports bad rows where a text file or standard input is answered; a task's
        inputs are cut, as T5X's are.
      batch_size: B.
      identity: JSON; where it is equal, so are the answers to equal rows.
    """

    predictor: predictor.Predictor
    batch_size: int
    identity: dict[str, Any]


def load(
    model: Any,
    config: dataset_config.DatasetConfig | None,
    restore: checkpoint_config.RestoreCheckpointConfig,
    init_seed: int,
    settings: answer_settings.AnswerSettings,
    report_bad_rows: bool,
    part: partitioner.Partitioner,
    prompt_file: str | None = None,
) -> LoadedPredictor:
    """Reads the model and the prompts.

    Args:
      model: `models.EncoderDecoderModel`.
      config: lengths, batch size, and whether inputs end with EOS.
      restore: the frozen model.
      init_seed: of parameters that the checkpoint lacks.
      settings: prompts by name, search and sampling.
      report_bad_rows: see `predictor.Predictor`.
      part: where parameters and batches lie.
      prompt_file: where the model's own prompt comes from; an artifact is checked, and so are
        those among the prompts by name.

    Raises:
      ValueError, FileNotFoundError: a checkpoint or a prompt is not usable.
    """
    words, width = model.input_vocabulary, model.module.config.emb_dim
    for path in settings.prompt_paths.values():
        artifact_checks.check_file(path, restore, vocabulary=words, width=width)
    bank, hashes = _bank(model, settings)
    rng = jax.random.PRNGKey(init_seed)
    initial = initialization.initial_parameters(
        model, initialization.ANY_SHAPES, rng, restore, part
    )
    artifact_checks.check_prompt_file(prompt_file, model, initial.fingerprint, initial.params)
    for path in settings.prompt_paths.values():  # Of any length.
        artifact_checks.check_prompt_file(path, model, initial.fingerprint, {})
    lengths = (config.task_feature_lengths if config else None) or {}
    inputs_length, targets_length = lengths.get("inputs", 512), lengths.get("targets", 64)
    batch_size = config.batch_size if config else 32
    made = predictor.Predictor(
        model,
        initial.params,
        model.input_vocabulary,
        settings.prompt_of_the_nameless,
        inputs_length=inputs_length,
        targets_length=targets_length,
        batch_size=batch_size,
        add_inputs_eos=ends_with_eos(config),
        window=WINDOW,
        prompts=bank,
        sampling=settings.sampling,
        seed=settings.seed,
        num_decodes=settings.num_decodes,
        return_all_decodes=settings.return_all_decodes,
        report_bad_rows=report_bad_rows,
        part=part,
    )
    identity = {
        "base": initial.fingerprint,
        "model": repr(model.module.config),
        "prompts": hashes or {name: _hash(initial.params[name]) for name in initial.drawn},
        "default_prompt": settings.prompt_of_the_nameless,
        "lengths": [inputs_length, targets_length],
        "inputs_eos": ends_with_eos(config),
        "vocabulary": getattr(words, "fingerprint", None),
        **_search(model),
        "sampling": repr(settings.sampling),
        "seed": settings.seed,
        "num_decodes": [settings.num_decodes, settings.return_all_decodes],
    }
    return LoadedPredictor(made, batch_size, identity)


def _search(model: Any) -> dict[str, Any]:
    """How the model searches where no flag says it: its functions, and what gin binds to them."""
    functions = {
        "decode_fn": model._decode_fn,
        "predict_batch_with_aux": type(model).predict_batch_with_aux,
    }
    bound = {
        f"{name}.{argument}": value
        for name, function in functions.items()
        for argument, value in gin_functions.bindings_of(function).items()
    }
    names = {n: getattr(f, "__qualname__", type(f).__qualname__) for n, f in functions.items()}
    return {**names, **bound, "decoder_params": repr(model._default_decoder_params)}


def ends_with_eos(config: dataset_config.DatasetConfig | None) -> bool:
    """Whether inputs end with EOS: as the task was trained."""
    return config.file_task.add_inputs_eos if config and config.file_task else True


def _bank(
    model: Any, settings: answer_settings.AnswerSettings
) -> tuple[prompt_bank.PromptBank | None, dict[str, str]]:
    """The prompts by name, and a hash of each; None where there are none."""
    read = {name: prompt_files.read_prompt(path) for name, path in settings.prompt_paths.items()}
    if not read:
        return None, {}
    width = model.module.config.emb_dim
    for name, prompt in read.items():
        if prompt.shape[1] != width:
            raise ValueError(
                f"the prompt {name!r} has shape {prompt.shape}, the model needs (P, {width}); "
                f"choose one that was trained for this model: --prompt={name}=PATH."
            )
    longest = max(len(prompt) for prompt in read.values())
    bank = prompt_bank.PromptBank(width, max(1, longest), len(read))
    for name, prompt in read.items():
        bank.add(name, prompt)
    return bank, {name: _hash(prompt) for name, prompt in read.items()}


def _hash(array: np.ndarray | jax.Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
