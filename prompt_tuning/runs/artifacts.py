# SPDX-License-Identifier: Apache-2.0
"""The prompt artifact that a training run emits, with its card.

Joins `checkpoints.prompt_artifact` (the file) with what a run knows: its model, its vocabulary, its
figures.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from prompt_tuning.checkpoints import prompt_artifact
from prompt_tuning.prompts import model_card
from prompt_tuning.runs import artifact_checks

# Figures of a summary that are no property of the prompt.
_METRIC_SUFFIXES = ("_with_prompt", "_without_prompt")


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
        placement=artifact_checks.placement(model) or "other",
        task=str(figures.get("task", "")),
        metrics=dict(sorted(metrics.items())) | {"split": str(figures.get("split", "none"))},
        recipe=dict(recipe),
    )
    rows = np.asarray(embedding[: vocabulary.vocab_size], np.float32)
    card = model_card.model_card(metadata, prompt, rows, vocabulary.tokenizer.id_to_piece)
    prompt_artifact.write(path, prompt, metadata, card)
