# SPDX-License-Identifier: Apache-2.0
"""Files that gin names and that are not there, found before anything is imported.

Only the absence of a local path is a mistake here; what a file holds is for whoever reads it. Paths
of object stores are not looked at.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from prompt_tuning.config import dataset_config, gin_checks, gin_files

# {(configurable, argument): message}; its {} are the path and what lies in the folder above it.
_PATHS = {
    ("RestoreCheckpointConfig", "path"): (
        "{} does not exist. A checkpoint is a folder checkpoint_<step>, or with "
        "RestoreCheckpointConfig.mode = 'latest' the folder of several; set --initial_checkpoint "
        "(INITIAL_CHECKPOINT_PATH, CHECKPOINT_PATH).{}"
    ),
    ("SentencePieceVocabulary", "sentencepiece_model_file"): (
        "there is no SentencePiece model at {!r}; set --vocabulary "
        "(seqio.SentencePieceVocabulary.sentencepiece_model_file).{}"
    ),
    ("infer", "input_file"): "there is no input file {}: --input_file (INPUT_FILE).{}",
    ("AnswerSettings", "label_file"): "there is no file of labels {}: --label_file (LABEL_FILE).{}",
    **{
        ("FileTask", f"{split}_file"): (f"there is no file {{}}; change --{split}_file.{{}}")
        for split in ("train", "validation", "test")
    },
}
# {macro: message}, for files that the configurables of user and project read by the same macro.
_MACROS = {
    "PROMPT_FILE": (
        "{} does not exist. A prompt is an npy file of an array [P, H], a folder of numpy "
        "checkpoints or a checkpoint; set --prompt_file, or --model_dir where "
        "eval and infer read it (PROMPT_FILE).{}"
    ),
    "EMBEDDING_FILE": (
        "{} does not exist. It must be an npy file of the token embeddings [V, H], which "
        "tools/checkpoints:extract_variable makes; set EMBEDDING_FILE.{}"
    ),
}

_NAMED_PROMPT = (
    "{} does not exist. A prompt is an npy file of an array [P, H], a folder of numpy checkpoints "
    "or a checkpoint; correct --prompt=NAME=PATH (PROMPTS).{}"
)


def check(statements: gin_files.Statements) -> None:
    """Raises FileNotFoundError for the first path that does not exist, and names what is near it."""
    macros = {name: binding.value for name, binding in gin_checks.macros(statements).items()}
    values = _last_values(statements)
    used = _used_macros(statements)
    for name, message in _MACROS.items():
        if name in used:
            _check(_resolved(macros.get(name), macros), message)
    named = _resolved(values.get(("AnswerSettings", "prompts")), macros) or ()
    _check([text.partition("=")[2] for text in named], _NAMED_PROMPT)
    task = _resolved(macros.get("MIXTURE_OR_TASK_NAME"), macros)
    for (configurable, argument), message in _PATHS.items():
        if configurable == "FileTask" and task != dataset_config.FILE_TASK_NAME:
            continue  # Then nobody reads the file.
        _check(_resolved(values.get((configurable, argument)), macros), message)


def _last_values(statements: gin_files.Statements) -> dict[tuple[str, str], Any]:
    """{(configurable, argument): value}; gin's scopes do not matter for paths."""
    return {
        (binding.selector.text.rpartition(".")[2], binding.argument): binding.value
        for binding in statements.bindings
        if not binding.is_macro
    }


def _used_macros(statements: gin_files.Statements) -> set[str]:
    return {
        leaf.name
        for binding in gin_checks.final_bindings(statements).values()
        for leaf in gin_files.flatten(binding.value)
        if isinstance(leaf, gin_files.MacroReference)
    }


def _resolved(value: Any, macros: Mapping[str, Any]) -> Any:
    """A macro's value in place of the macro; anything else as it is."""
    for _ in range(len(macros)):
        if not isinstance(value, gin_files.MacroReference):
            break
        value = macros.get(value.name)
    return value


def _check(value: Any, message: str) -> None:
    paths: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    for path in paths:
        if isinstance(path, str) and path not in ("", "-") and "://" not in path:
            if not _exists(path):
                raise FileNotFoundError(message.format(path, _what_is_there(path)))


def _exists(path: str) -> bool:
    # A prompt's suffix may be left out or written too much, because upstream's files have none.
    return any(os.path.exists(p) for p in (path, f"{path}.npy", path.removesuffix(".npy")))


def _what_is_there(path: str) -> str:
    """The folder's content, where the folder exists: the mistake is in the last part then."""
    folder = os.path.dirname(path.rstrip("/"))
    if not folder or not os.path.isdir(folder):
        return ""
    names = sorted(os.listdir(folder))
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f" {folder} holds {shown or 'nothing'}."
