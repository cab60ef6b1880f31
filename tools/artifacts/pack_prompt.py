# SPDX-License-Identifier: Apache-2.0
"""Packs a trained prompt into one file that says what it belongs to: the `prompt_artifact` macro's
tool, for prompts that were not emitted by `train --artifact_file`.

  tools/bazel run //tools:pack_prompt -- --prompt=/runs/sst2 --base_model=/models/t5_1_1_base \\
    --vocabulary=/models/sentencepiece.model --extra_ids=100 --summary=/runs/sst2/summary.json \\
    --output=/prompts/sst2.tar

The same inputs give the same bytes.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags

from data_ops import vocabulary
from prompt_tuning.checkpoints import (
    base_checkpoint,
    fingerprint,
    prompt_artifact,
    prompt_files,
    t5x_format,
)
from prompt_tuning.prompts import model_card
from tools.checkpoints import command_line

PROMPT = flags.DEFINE_string("prompt", None, "The prompt: whatever --prompt_file takes.")
OUTPUT = flags.DEFINE_string("output", None, "The artifact, NAME.tar.")
NAME = flags.DEFINE_string("name", None, "Name of the prompt; default: that of --output.")
BASE_MODEL = flags.DEFINE_multi_string(
    "base_model",
    [],
    "The frozen model; or all files of its folder, as a Bazel label gives them.",
)
BASE_NAME = flags.DEFINE_string(
    "base_name", None, "What people call the base model; default: its folder's name."
)
VOCABULARY = flags.DEFINE_string(
    "vocabulary", None, "SentencePiece model; default: the one in the base model's folder."
)
EXTRA_IDS = flags.DEFINE_integer(
    "extra_ids", None, "Sentinels behind its pieces; default: as the base model's, or 0.", 0
)
PLACEMENT = flags.DEFINE_enum(
    "placement", "prefix", ["prefix", "prefix_after_bos", "suffix"], "Where the prompt goes."
)
TASK = flags.DEFINE_string("task", None, "What it was trained for; default: the summary's.")
SUMMARY = flags.DEFINE_string("summary", None, "summary.json of the training run, for metrics.")
METRICS = flags.DEFINE_string("metrics", "{}", "Further metrics, a JSON object.")
RECIPE = flags.DEFINE_string("recipe", "{}", "How it was trained, a JSON object.")

# What tells the folder of a model's files.
_INDEX_FILES = ("config.json", "checkpoint")
_FIGURES = ("_with_prompt", "_without_prompt")
_EMBEDDING = "token_embedder/embedding"


def base_folder(names: Sequence[str]) -> str:
    """The base model's path, given as it is or by all its files.

    Raises:
      ValueError: several files, and none that a model's folder has.
    """
    if len(names) == 1:
        return names[0]
    for index in _INDEX_FILES:
        if found := [name for name in names if os.path.basename(name) == index]:
            return os.path.dirname(found[0])
    raise ValueError(
        f"--base_model has {len(names)} files, none of them {' or '.join(_INDEX_FILES)}; give all "
        "files of a HuggingFace folder or of a T5X checkpoint."
    )


def _vocabulary(
    description: base_checkpoint.Description,
) -> vocabulary.SentencePieceVocabulary:
    path = VOCABULARY.value or description.vocabulary_file
    if not path:
        raise ValueError("the base model's folder holds no vocabulary; set --vocabulary.")
    own = description.extra_ids if not VOCABULARY.value else 0
    return vocabulary.SentencePieceVocabulary(
        path, own if EXTRA_IDS.value is None else EXTRA_IDS.value
    )


def _object(text: str, flag: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--{flag} is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"--{flag} is {text}; it must be a JSON object, {{...}}.")
    return value


def _summary() -> Mapping[str, Any]:
    if not SUMMARY.value:
        return {}
    with open(SUMMARY.value, encoding="utf-8") as file:
        return _object(file.read(), "summary")


def pack(prompt_path: str, output: str, base_model: Sequence[str]) -> prompt_artifact.Metadata:
    """Writes the artifact; the other flags describe it. Returns its metadata.

    Raises:
      FileNotFoundError, ValueError: an input is missing, or does not fit the others.
    """
    prompt = prompt_files.read_prompt(prompt_path)
    folder = base_folder(base_model)
    description = base_checkpoint.describe(folder)
    if prompt.shape[1] != description.t5_config_fields["emb_dim"]:
        raise ValueError(
            f"the prompt has width {prompt.shape[1]}, the base model "
            f"{description.t5_config_fields['emb_dim']}; set --base_model to the prompt's own."
        )
    target = base_checkpoint.open_base(folder).target()
    target = {name: leaf for name, leaf in target.items() if "prompt" not in name.split("/")}
    pieces, summary = _vocabulary(description), _summary()
    figures = {k: v for k, v in summary.items() if k.endswith(_FIGURES)}
    figures = {k: v for k, v in figures.items() if not k.startswith("trained_")}
    if "split" in summary:
        figures["split"] = summary["split"]
    metadata = prompt_artifact.Metadata(
        name=NAME.value or os.path.basename(output).removesuffix(".tar"),
        base_fingerprint=fingerprint.fingerprint(target),
        vocabulary_fingerprint=pieces.fingerprint,
        length=prompt.shape[0],
        width=prompt.shape[1],
        base_model=BASE_NAME.value or os.path.basename(os.path.abspath(folder)),
        placement=PLACEMENT.value,
        task=TASK.value or str(summary.get("task", "")),
        metrics=figures | _object(METRICS.value, "metrics"),
        recipe=_object(RECIPE.value, "recipe"),
    )
    embedding = t5x_format.read_arrays({_EMBEDDING: target[_EMBEDDING]}, "float32")[_EMBEDDING]
    rows = embedding[: pieces.vocab_size]
    card = model_card.model_card(metadata, prompt, rows, pieces.tokenizer.id_to_piece)
    prompt_artifact.write(output, prompt, metadata, card)
    return metadata


def main(argv: Sequence[str]) -> None:
    """Packs, and says what was written."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    prompt, output, base_model = (
        command_line.required(PROMPT),
        command_line.required(OUTPUT),
        command_line.required(BASE_MODEL),
    )
    if not output.endswith(".tar"):
        raise app.UsageError(f"--output={output} must end in .tar")
    metadata = pack(prompt, output, base_model)
    print(
        f"{output}: {metadata.length} positions of width {metadata.width} for "
        f"{metadata.base_model}, base fingerprint {metadata.base_fingerprint}"
    )


if __name__ == "__main__":
    command_line.run(main)
