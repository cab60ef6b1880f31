# SPDX-License-Identifier: Apache-2.0
"""The flags of a training run, kept in its folder so that eval and infer need not be told again.

`MODEL_DIR/flags.json` holds what the user gave, nothing of what gin made of it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

FILE = "flags.json"

# What a saved prompt is meaningless without: the model, and how text becomes its input.
_CARRIED = (
    "model",
    "base_model",
    "initial_checkpoint",
    "vocabulary",
    "prompt_length",
    "activation_dtype",
    "inputs_length",
    "targets_length",
    "task",
    "train_file",
    "validation_file",
    "test_file",
    "text_column",
    "label_column",
    "label_words",
    "input_template",
    "label_scores_per_token",
    "skip_bad_rows",
)
_PATHS = ("initial_checkpoint", "vocabulary", "train_file", "validation_file", "test_file")
# Who asks for these in infer wants texts or other labels, and not the run's labels ranked.
_INSTEAD_OF_LABELS = (
    "num_decodes",
    "all_decodes",
    "temperature",
    "top_k",
    "top_p",
    "label_file",
)
# --base_model says what the others say.
_MODEL_FLAGS = ("base_model", "initial_checkpoint", "model")

_remembered: dict[str, Any] = {}


def remember(given: Mapping[str, Any], gin_file: Sequence[str] | None) -> None:
    """Keeps the flags of this process for `write`; paths become absolute."""
    _remembered.clear()
    for name in _CARRIED:
        value = given.get(name)
        if value is not None:
            _remembered[name] = os.path.abspath(value) if _is_local(name, value) else value
    _remembered["gin_file"] = list(gin_file or ())


def _is_local(name: str, value: Any) -> bool:
    if name == "base_model":
        return os.path.exists(value)  # Else it is a name of the hub, or a URL.
    return name in _PATHS and "://" not in value


def write(model_dir: str) -> None:
    """Writes `model_dir/flags.json` if this process has remembered flags.

    A run that goes on with other flags than it began with is told so.
    """
    if not _remembered:
        return
    earlier = read(model_dir)
    for name in sorted(earlier.keys() | _remembered.keys()) if earlier else ():
        before, now = earlier.get(name), _remembered.get(name)
        if before != now:
            logging.warning(
                "the run in %s began with --%s=%s and goes on with %s",
                *(model_dir, name, before, "none" if now is None else now),
            )
    path = os.path.join(model_dir, FILE)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(_remembered, file, indent=2, sort_keys=True)
        file.write("\n")
    os.replace(path + ".tmp", path)


def read(model_dir: str) -> dict[str, Any]:
    """Returns the flags of the run in `model_dir`; {} when it has none."""
    try:
        with open(os.path.join(model_dir, FILE), encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}


def carried(
    given: Mapping[str, Any], known: Sequence[str], gin_file: Sequence[str] | None
) -> dict[str, Any]:
    """Returns `given`, completed by the flags of the run that --model_dir names.

    Args:
        given: flags of eval or infer; None for those not given.
        known: names of all their flags.
        gin_file: of eval or infer.

    Raises:
        ValueError: the run was configured by gin files, and none are given now.
    """
    model_dir = given.get("model_dir")
    if not model_dir or gin_file:
        return dict(given)
    earlier = read(model_dir)
    if earlier.pop("gin_file", ()):
        raise ValueError(
            f"the run in {model_dir} was configured by --gin_file; give the same models file and "
            "prompt_tuning/configs/runs/prompt_eval.gin or prompt_infer.gin by --gin_file, and "
            "the prompt by --gin.PROMPT_FILE"
        )
    if given.get("base_model"):
        for name in _MODEL_FLAGS:
            earlier.pop(name, None)
    elif given.get("model") or given.get("initial_checkpoint"):
        earlier.pop("base_model", None)
    if any(given.get(name) is not None for name in _INSTEAD_OF_LABELS):
        earlier.pop("label_words", None)
    result = dict(given)
    for name, value in earlier.items():
        if name in known and result.get(name) is None:
            result[name] = value
    if "split" in known and result.get("split") is None:
        files = [s for s in ("test", "validation", "train") if result.get(f"{s}_file")]
        if files:
            result["split"] = files[0]
    return result
