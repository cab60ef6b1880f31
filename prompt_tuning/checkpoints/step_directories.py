# SPDX-License-Identifier: Apache-2.0
"""The folders of a model directory: which steps it holds, which folder a path means, pruning.

A step is complete when its index is there: the file `checkpoint` (T5X native), or `state/_METADATA`
(Orbax). Both are written last or arrive by a rename, so a folder without one is a save that was
interrupted, and is passed over.
"""

import re
from typing import NamedTuple

from prompt_tuning.checkpoints import paths

INDEX_FILE = "checkpoint"
PINNED_FILE = "PINNED"
ORBAX_ITEM = "state"
ORBAX_INDEX_FILE = "_METADATA"

_STEP_NAME = re.compile(r"checkpoint_(\d+)")
_HUGGING_FACE = re.compile(r".*\.safetensors|pytorch_model.*\.bin")
_EXPECTED = (
    "A checkpoint is a folder checkpoint_<step> with a file `checkpoint` in it (or "
    "`state/_METADATA`, Orbax), a model directory that holds such folders, or the file "
    "`checkpoint` itself"
)


class StepDirectory(NamedTuple):
    """One complete checkpoint: its folder and whether T5X native or Orbax wrote it."""

    directory: str
    is_orbax: bool


def step_directory(model_dir: str, step: int) -> str:
    """The folder of one step, whether it exists or not."""
    return paths.join(model_dir, f"checkpoint_{step}")


def checkpoint_steps(model_dir: str) -> list[int]:
    """Steps with a complete checkpoint in `model_dir`, ascending; empty where there is none."""
    matches = [_STEP_NAME.fullmatch(name) for name in paths.list_names(model_dir)]
    steps = sorted(int(match[1]) for match in matches if match and not _has_leading_zero(match[1]))
    return [step for step in steps if _complete(step_directory(model_dir, step))]


def latest_step(model_dir: str) -> int | None:
    """The newest complete step in `model_dir`."""
    steps = checkpoint_steps(model_dir)
    return steps[-1] if steps else None


def step_in_name(directory: str) -> int | None:
    """The step that a folder's name promises."""
    match = _STEP_NAME.fullmatch(directory.rstrip("/").rpartition("/")[2])
    return int(match[1]) if match else None


def prune(model_dir: str, keep: int | None) -> list[int]:
    """Deletes the oldest steps until `keep` remain, and returns the deleted ones.

    A step whose folder holds a file `PINNED` stays, and still counts towards `keep`, as in T5X.

    Args:
      keep: None keeps all.

    Raises:
      ValueError: `keep` is below 1.
    """
    if keep is None:
        return []
    if keep < 1:
        raise ValueError(
            f"keep is {keep}; set SaveCheckpointConfig.keep to 1 or more, or to None to keep all."
        )
    removed = []
    for step in checkpoint_steps(model_dir)[:-keep]:
        directory = step_directory(model_dir, step)
        if not paths.is_file(paths.join(directory, PINNED_FILE)):
            paths.remove_directory(directory)
            removed.append(step)
    return removed


def prune_files(model_dir: str, prefix: str, keep: int) -> None:
    """Deletes the files whose names begin with `prefix` from all but the newest `keep` steps.

    A pinned step keeps its files. T5X does this to data positions (`keep_dataset_checkpoints`).
    """
    for step in checkpoint_steps(model_dir)[:-keep]:
        directory = step_directory(model_dir, step)
        if paths.is_file(paths.join(directory, PINNED_FILE)):
            continue
        for name in paths.list_names(directory):
            if name.startswith(prefix):
                paths.remove_file(paths.join(directory, name))


def resolve(path: str, step: int | None = None) -> StepDirectory:
    """The checkpoint that a user's path means.

    Args:
      path: a model directory, a step's folder, or the file `checkpoint`.
      step: which step of a model directory; the latest one if None.

    Raises:
      FileNotFoundError: nothing is there, or not the step asked for.
      ValueError: something else is there, for example a HuggingFace or TensorFlow checkpoint.
    """
    if paths.is_file(path):
        if path.rpartition("/")[2] != INDEX_FILE:
            raise ValueError(f"{path} is a file, but not a checkpoint. {_EXPECTED}.")
        path = paths.parent(path) or "."
    found = _complete(path)
    if found:
        return found
    steps = checkpoint_steps(path)
    wanted = steps[-1] if steps and step is None else step
    if wanted in steps:
        found = _complete(step_directory(path, wanted))
    if found:
        return found
    if steps:
        raise FileNotFoundError(f"{path} has no step {step}; it holds the steps {_listed(steps)}.")
    raise _explanation(path)


def _complete(directory: str) -> StepDirectory | None:
    if paths.is_file(paths.join(directory, INDEX_FILE)):
        return StepDirectory(directory, is_orbax=False)
    if paths.is_file(paths.join(directory, ORBAX_ITEM, ORBAX_INDEX_FILE)):
        return StepDirectory(directory, is_orbax=True)
    return None


def _explanation(path: str) -> Exception:
    """Why `path` is no checkpoint, in one sentence that says what to change."""
    if paths.is_file(path + ".index"):
        return ValueError(
            f"{path} is a TensorFlow checkpoint, which is not read here; convert it with T5X's "
            f"convert_tf_checkpoint first. {_EXPECTED}."
        )
    if not paths.is_directory(path):
        return FileNotFoundError(f"{path} does not exist. {_EXPECTED}.{_steps_beside(path)}")
    names = paths.list_names(path)
    if ORBAX_INDEX_FILE in names:
        return ValueError(
            f"{path} is one item of an Orbax checkpoint; give the folder above it, "
            f"{paths.parent(path)}."
        )
    if any(_HUGGING_FACE.fullmatch(name) for name in names):
        return ValueError(
            f"{path} holds weights of HuggingFace, not a T5X checkpoint; where a HuggingFace model "
            f"is accepted, its config.json must lie beside them. {_EXPECTED}."
        )
    if any(name.endswith(".index") for name in names):
        return ValueError(f"{path} holds TensorFlow checkpoints, not a T5X one. {_EXPECTED}.")
    shown = ", ".join(names[:5]) or "nothing"
    return FileNotFoundError(f"{path} holds no checkpoint, it holds {shown}. {_EXPECTED}.")


def _steps_beside(path: str) -> str:
    folder = paths.parent(path.rstrip("/"))
    steps = checkpoint_steps(folder) if folder else []
    return f" {folder} holds the steps {_listed(steps)}." if steps else ""


def _listed(steps: list[int]) -> str:
    first = "" if len(steps) <= 10 else f"{steps[0]}, ..., "
    return first + ", ".join(str(step) for step in steps[-10:])


def _has_leading_zero(digits: str) -> bool:
    """`checkpoint_007` is not the folder of step 7."""
    return str(int(digits)) != digits
