# SPDX-License-Identifier: Apache-2.0
"""Prompt artifacts of runs: what a training run emits, and whether one fits what a run loaded.

Joins `checkpoints.prompt_artifact` (the file) with what a run knows: its model, its vocabulary, its
figures.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from prompt_tuning.checkpoints import base_checkpoint, fingerprint, prompt_artifact
from prompt_tuning.prompts import model_card
from prompt_tuning.runs import restore_paths

_EMBEDDING = "token_embedder/embedding"
_PLACEMENTS = {
    "prefix_prompt": "prefix",
    "prefix_prompt_after_bos": "prefix_after_bos",
    "suffix_prompt": "suffix",
}
# Figures of a summary that are no property of the prompt.
_METRIC_SUFFIXES = ("_with_prompt", "_without_prompt")


def placement(model: Any) -> str | None:
    """Where the model puts its prompt; None where its prompt is of another kind."""
    factory = getattr(model.module, "prompt_factory", None)
    combine = getattr(factory(), "combine", None) if factory else None
    return _PLACEMENTS.get(getattr(combine, "__name__", ""))


def check_shape(path: str | None, model: Any, restore: Any) -> None:
    """Refuses an artifact whose shape the model's prompt does not have, before anything is loaded.

    Args:
      path: of the prompt; None, and what is no artifact, passes.
      model: has `input_vocabulary` and `module`.
      restore: `config.checkpoint_config.RestoreCheckpointConfig` of the frozen model, or None.

    Raises:
      ValueError: names both lengths, or both base models.
    """
    if not path or not prompt_artifact.is_artifact(path):
        return
    metadata = prompt_artifact.read(path).metadata
    base = metadata.base_fingerprint
    if metadata.width != model.module.config.emb_dim:
        base = _fingerprint(restore)
    prompt_artifact.check(
        metadata,
        path,
        base_fingerprint=base,
        vocabulary_fingerprint=metadata.vocabulary_fingerprint,
        length=_length(model),
    )


def _length(model: Any) -> int | None:
    factory = getattr(model.module, "prompt_factory", None)
    return getattr(getattr(factory(), "prompt", None), "length", None) if factory else None


def _fingerprint(restore: Any) -> str:
    if restore is None:
        return "no base model"
    target = base_checkpoint.open_base(restore_paths.single_restore_path(restore)).target()
    return fingerprint.fingerprint({k: v for k, v in target.items() if "prompt" not in k})


def check_prompt_file(
    path: str | None, model: Any, base_fingerprint: str, params: Mapping[str, Any]
) -> None:
    """Refuses an artifact that was trained for another model, vocabulary or length.

    Args:
      path: of the prompt; None, and what is no artifact, says nothing of itself and passes.
      model: has `input_vocabulary` and `module`.
      base_fingerprint: of the frozen model that was loaded; "" where there was none.
      params: the run's parameters, of which the prompt is one.

    Raises:
      ValueError: names both values.
    """
    if not path or not prompt_artifact.is_artifact(path):
        return
    prompts = [value for name, value in params.items() if name.endswith("/prompt/prompt")]
    prompt_artifact.check(
        prompt_artifact.read(path).metadata,
        path,
        base_fingerprint=base_fingerprint or "no base model",
        vocabulary_fingerprint=model.input_vocabulary.fingerprint,
        length=len(prompts[0]) if len(prompts) == 1 else None,
        placement=placement(model),
    )


def write(
    path: str,
    *,
    trained: Mapping[str, Any],
    model: Any,
    base_fingerprint: str,
    base_model: str,
    embedding: np.ndarray,
    figures: Mapping[str, Any],
    recipe: Mapping[str, Any],
) -> None:
    """Writes the artifact of a training run, with its card.

    Args:
      path: of the tar file, whose name is the prompt's.
      trained: the parameters that were trained: one prompt `[P, H]`.
      model: has `input_vocabulary` and `module`.
      base_fingerprint: of the frozen model.
      base_model: what the user called it.
      embedding: `[V, H]`, the frozen model's token table.
      figures: of `summary.json`.
      recipe: how the prompt was trained.

    Raises:
      ValueError: the run trained something else.
    """
    if len(trained) != 1 or next(iter(trained.values())).ndim != 2:
        raise ValueError(
            f"the run trained {', '.join(trained)}; an artifact holds one prompt [P, H]: leave "
            "--artifact_file (ARTIFACT_FILE) out."
        )
    prompt = np.asarray(next(iter(trained.values())), np.float32)
    vocabulary = model.input_vocabulary
    metrics = {key: value for key, value in figures.items() if key.endswith(_METRIC_SUFFIXES)}
    metrics = {key: value for key, value in metrics.items() if not key.startswith("trained_")}
    metadata = prompt_artifact.Metadata(
        name=path.rpartition("/")[2].removesuffix(".tar"),
        base_fingerprint=base_fingerprint,
        vocabulary_fingerprint=vocabulary.fingerprint,
        length=prompt.shape[0],
        width=prompt.shape[1],
        base_model=base_model,
        placement=placement(model) or "other",
        task=str(figures.get("task", "")),
        metrics=dict(sorted(metrics.items())) | {"split": str(figures.get("split", "none"))},
        recipe=dict(recipe),
    )
    rows = np.asarray(embedding[: vocabulary.vocab_size], np.float32)
    card = model_card.model_card(metadata, prompt, rows, vocabulary.tokenizer.id_to_piece)
    prompt_artifact.write(path, prompt, metadata, card)
