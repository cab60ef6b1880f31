# SPDX-License-Identifier: Apache-2.0
"""Settings that the files of a run imply: a base model knows its architecture, a prompt its length.

They become gin bindings after the gin files and before the user's own, which win: like flags, they
are a shorter spelling and nothing more, and `config.gin` shows them. What reads the files belongs to
another layer and is imported by name, only where there is such a file.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from prompt_tuning.config import aliases, flag_table, gin_checks, gin_files

_DESCRIBE = "prompt_tuning.checkpoints.base_checkpoint:describe"
_LOCAL_FOLDER = "prompt_tuning.checkpoints.huggingface_download:local_folder"
_READ_PROMPT = "prompt_tuning.checkpoints.prompt_files:read_prompt"

_CHECKPOINT_MACROS = ("INITIAL_CHECKPOINT_PATH", "CHECKPOINT_PATH")
_MACRO_OF_FIELD = {
    "vocab_size": "NUM_EMBEDDINGS",
    "emb_dim": "EMBED_DIM",
    "num_heads": "NUM_HEADS",
    "head_dim": "HEAD_DIM",
    "mlp_dim": "MLP_DIM",
    "num_encoder_layers": "NUM_ENCODER_LAYERS",
    "num_decoder_layers": "NUM_DECODER_LAYERS",
    "mlp_activations": "MLP_ACTIVATIONS",
    "logits_via_embedding": "LOGITS_VIA_EMBEDDING",
    "relative_attention_num_buckets": "RELATIVE_ATTENTION_NUM_BUCKETS",
    "relative_attention_max_distance": "RELATIVE_ATTENTION_MAX_DISTANCE",
}
_VOCABULARY = "seqio.SentencePieceVocabulary"
_LENGTH = "PROMPT_LENGTH"


def resolved(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with `base_model` as a path: the hub's models are fetched.

    A HuggingFace folder that came as `--initial_checkpoint` without a `--model` is a base model.

    Raises:
        ValueError: flags that say the same twice.
        FileNotFoundError, OSError: there is no such folder, and the hub does not give it.
    """
    result = dict(given)
    checkpoint, base = given.get("initial_checkpoint"), given.get("base_model")
    if base is None:
        if given.get("model") is None and checkpoint and _is_huggingface(checkpoint):
            result |= {"base_model": checkpoint, "initial_checkpoint": None}
        return result
    for name in ("initial_checkpoint", "model"):
        if given.get(name) is not None:
            raise ValueError(
                f"--base_model={base} says where the model is and what it is like; leave "
                f"--{name}={given[name]} out, or take --initial_checkpoint with --model"
            )
    if "://" not in base and not os.path.exists(base):
        result["base_model"] = aliases.load(_LOCAL_FOLDER)(base)
    return result


def bindings(
    entry_point: str,
    given: Mapping[str, Any],
    statements: gin_files.Statements,
) -> list[str]:
    """The gin bindings that follow from the base model and the prompt.

    Args:
        entry_point: "train", "evaluate" or "infer".
        given: values of the flags, `resolved`.
        statements: of the gin files and of all bindings so far.

    Raises:
        ValueError, OSError: the base model cannot be read, or has no counterpart here.
    """
    made = _base_model_bindings(given, statements)
    if entry_point != flag_table.TRAIN:
        made += _prompt_bindings(given, statements)
    return made


def _base_model_bindings(given, statements: gin_files.Statements) -> list[str]:
    base = given.get("base_model") or _huggingface_checkpoint(statements)
    if not base:
        return []
    found = aliases.load(_DESCRIBE)(base)
    made = [
        f"{macro} = {found.t5_config_fields[field]!r}"
        for field, macro in _MACRO_OF_FIELD.items()
        if gin_checks.has_key(statements, macro)
    ]
    file_key = f"{_VOCABULARY}.sentencepiece_model_file"
    if given.get("vocabulary") is not None or not gin_checks.has_key(statements, file_key):
        return made
    if found.vocabulary_file:
        made += [
            f"{file_key} = {found.vocabulary_file!r}",
            f"{_VOCABULARY}.extra_ids = {found.extra_ids}",
        ]
    elif given.get("base_model") and _is_huggingface(base):
        raise ValueError(
            f"{base} holds no spiece.model, the model's SentencePiece vocabulary; put it there, or "
            "name it by --vocabulary"
        )
    return made


def _huggingface_checkpoint(statements: gin_files.Statements) -> str | None:
    """The HuggingFace folder that the gin files and bindings name as their checkpoint, if one."""
    macros = gin_checks.macros(statements)
    for name in _CHECKPOINT_MACROS:
        value = macros[name].value if name in macros else None
        if isinstance(value, str) and _is_huggingface(value):
            return value
    return None


def _is_huggingface(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "config.json"))


def _prompt_bindings(given, statements: gin_files.Statements) -> list[str]:
    """The length of the prompt to use, where no flag says it."""
    named = [text.partition("=")[2] for text in given.get("prompt") or ()]
    path = next(iter(named), None) or given.get("prompt_file") or given.get("model_dir")
    if not path or given.get("prompt_length") is not None:
        return []
    if not gin_checks.has_key(statements, _LENGTH) or not os.path.exists(path):
        return []
    prompt = _read_or_none(aliases.load(_READ_PROMPT), path)
    return [] if prompt is None else [f"{_LENGTH} = {len(prompt)}"]


def _read_or_none(read: Callable[[str], Any], path: str) -> Any:
    try:
        return read(path)
    except (ValueError, OSError):
        return None  # Whoever needs the prompt says what is wrong with it.
