# SPDX-License-Identifier: Apache-2.0
"""Prompts as numpy files, in the places and under the names that prompt-tuning gave them.

  model_dir/numpy_checkpoints/checkpoint_<step>/encoder.prompt.prompt.prompt    (npy without suffix)

A prompt is float32 [P, H] here, whatever it is in the file. Knows no model.
"""

import io
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from prompt_tuning.checkpoints import (
    best_step,
    paths,
    peft_adapter,
    prompt_artifact,
    step_directories,
    t5x_format,
)
from prompt_tuning.checkpoints.lazy_array import DTypeLike, as_dtype

NUMPY_FOLDER = "numpy_checkpoints"

_MAGIC = b"\x93NUMPY"
_STEP_NAME = re.compile(r"checkpoint_(\d+)")
_ACCEPTED = (
    "A prompt is an npy file of a floating-point array [P, H], a folder with one such file, a "
    "model directory with numpy_checkpoints/, a T5X checkpoint with one prompt, a PEFT adapter, or "
    "a prompt artifact"
)


def read_prompt(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads one prompt.

    Args:
      path: an npy file (the suffix may be left out), a folder of
        `numpy_checkpoints/checkpoint_<step>`, a model directory (its best numpy prompt where the run
        kept one, else its latest), a T5X checkpoint with one parameter whose name contains
        `prompt`, a PEFT adapter of one task, or a prompt artifact.

    Returns:
      float32 [P, H]. bfloat16 is read from the two-byte void type that numpy writes for it.

    Raises:
      FileNotFoundError: nothing is at `path`.
      ValueError: it is not a prompt, holds several, or a number that is not finite.
    """
    source, array = _find(str(path))
    if array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)
    if array.ndim != 2 or not _is_floating(array.dtype):
        raise ValueError(
            f"{source} holds an array of shape {array.shape} and dtype {array.dtype}, which is no "
            f"prompt. {_ACCEPTED}."
        )
    array = np.ascontiguousarray(array, np.float32)
    if bad := np.count_nonzero(~np.isfinite(array)):
        raise ValueError(
            f"{source} has {bad:,} numbers of {array.size:,} that are NaN or infinite; nothing can "
            "be computed with it. Choose another prompt, such as one of an earlier step."
        )
    return array


def check_shape(found: tuple[int, ...], needed: tuple[int, ...]) -> None:
    """Raises ValueError where a prompt of shape `found` [P, H] is given, and `needed` is wanted."""
    found, needed = tuple(found), tuple(needed)
    if found == needed:
        return
    change = "change --prompt_file (PROMPT_FILE)"
    if found[1:] != needed[1:]:
        advice = (
            f"its vectors have {found[-1]} numbers and the model's embeddings {needed[-1]}, so it "
            f"was made for a model of another size; {change} or the model"
        )
    elif not found[0]:
        advice = f"it is empty; {change}"
    else:
        advice = f"set --prompt_length (PROMPT_LENGTH) to {found[0]}, or {change}"
    raise ValueError(f"the given prompt has shape {found}, the model needs {needed}: {advice}.")


def write_numpy_prompts(
    model_dir: str, step: int, prompts: Mapping[str, Any], save_dtype: DTypeLike = "float32"
) -> str | None:
    """Writes `model_dir/numpy_checkpoints/checkpoint_<step>/<dotted name>`, a file per prompt.

    An existing folder of that step is kept as `checkpoint_<step>.backup-<time>`. Upstream:
    `Checkpointer.save_numpy`.

    Args:
      prompts: parameter names (`encoder/prompt/prompt/prompt`) to arrays.

    Returns:
      The folder, or None if there was nothing to write.
    """
    if not prompts:
        return None
    final = step_directories.step_directory(paths.join(model_dir, NUMPY_FOLDER), step)
    work = f"{final}.tmp-{int(time.time())}"
    try:
        for name, value in prompts.items():
            buffer = io.BytesIO()
            np.save(buffer, np.asarray(value).astype(as_dtype(save_dtype)), allow_pickle=False)
            paths.write_bytes(paths.join(work, name.replace("/", ".")), buffer.getvalue())
        if paths.exists(final):
            paths.move_directory(final, f"{final}.backup-{time.time()}")
        paths.move_directory(work, final)
    except BaseException:
        paths.remove_directory(work)
        raise
    return final


def numpy_prompt_steps(model_dir: str) -> list[int]:
    """Steps for which `model_dir` holds numpy prompts, ascending."""
    return _steps_in(paths.join(model_dir, NUMPY_FOLDER))


def read_numpy_prompts(model_dir: str, step: int) -> dict[str, np.ndarray]:
    """What `write_numpy_prompts` wrote: parameter names to float32 arrays of any rank.

    Raises:
      FileNotFoundError: there are none of that step; lists the steps that there are.
      ValueError: a file is damaged.
    """
    folder = step_directories.step_directory(paths.join(model_dir, NUMPY_FOLDER), step)
    files = [paths.join(folder, name) for name in paths.list_names(folder)]
    arrays = {}
    for file in files:
        if paths.is_file(file) and _is_npy(file):
            name = file.rpartition("/")[2].removesuffix(".npy").replace(".", "/")
            array = _read_npy(file)
            # numpy has no name for bfloat16 and writes it as two-byte void.
            array = array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array
            arrays[name] = array.astype(np.float32)
    if not arrays:
        steps = ", ".join(map(str, numpy_prompt_steps(model_dir))) or "none"
        raise FileNotFoundError(f"{folder} holds no numpy prompt; steps with prompts: {steps}.")
    return arrays


def _find(path: str) -> tuple[str, np.ndarray]:
    """The file or folder that `path` means, and its array as stored."""
    if prompt_artifact.is_artifact(path):
        return path, prompt_artifact.read(path).prompt
    for file in (path, f"{path}.npy", path.removesuffix(".npy")):
        if paths.is_file(file):
            is_index = file.rpartition("/")[2] == step_directories.INDEX_FILE
            return _from_t5x(file) if is_index else (file, _read_npy(file))
    if not paths.is_directory(path):
        raise FileNotFoundError(f"{path} does not exist. {_ACCEPTED}.")
    if peft_adapter.is_adapter(path):
        return path, _of_one_task(path, peft_adapter.read_adapter(path))
    is_numpy_folder = path.rstrip("/").endswith(NUMPY_FOLDER)
    folder = path if is_numpy_folder else paths.join(path, NUMPY_FOLDER)
    steps = _steps_in(folder)
    if steps:
        best = (best_step.read(path) or {}).get("best_step")
        step = best if best in steps else steps[-1]
        return _from_numpy_folder(step_directories.step_directory(folder, step))
    try:
        step_directories.resolve(path)
    except (FileNotFoundError, ValueError):
        return _from_numpy_folder(path)
    return _from_t5x(path)


def _of_one_task(path: str, adapter: peft_adapter.PeftAdapter) -> np.ndarray:
    if len(adapter.prompts) > 1:
        raise ValueError(
            f"{path} is an adapter with prompts of {len(adapter.prompts)} tasks; take one out of it "
            "with `tools/bazel run //tools:convert_prompt -- --task`, and give that."
        )
    return adapter.prompt()


def _steps_in(folder: str) -> list[int]:
    matches = [_STEP_NAME.fullmatch(name) for name in paths.list_names(folder)]
    return sorted(int(match[1]) for match in matches if match)


def _from_numpy_folder(folder: str) -> tuple[str, np.ndarray]:
    files = [paths.join(folder, name) for name in paths.list_names(folder)]
    arrays = [file for file in files if paths.is_file(file) and _is_npy(file)]
    if not arrays:
        raise FileNotFoundError(f"{folder} holds no prompt. {_ACCEPTED}.")
    if len(arrays) > 1:
        names = ", ".join(file.rpartition("/")[2] for file in arrays)
        raise ValueError(f"{folder} holds several prompts ({names}); give the path of one of them.")
    return arrays[0], _read_npy(arrays[0])


def _from_t5x(path: str) -> tuple[str, np.ndarray]:
    checkpoint = t5x_format.open_checkpoint(path)
    target = checkpoint.target()
    names = [name for name in target if "prompt" in name]
    if len(names) != 1:
        found = f"{len(names)} ({', '.join(names)})" if names else "none"
        raise ValueError(
            f"{checkpoint.directory} should hold one parameter whose name contains `prompt`, but "
            f"holds {found}; give an npy file, which tools/checkpoints:extract_variable makes of "
            "any parameter."
        )
    return f"{names[0]} in {checkpoint.directory}", target[names[0]].get()


def _is_npy(file: str) -> bool:
    return paths.read_bytes(file).startswith(_MAGIC)


def _read_npy(file: str) -> np.ndarray:
    data = paths.read_bytes(file)
    if not data.startswith(_MAGIC):
        raise ValueError(f"{file} is not an npy file: it starts with {data[:8]!r}. {_ACCEPTED}.")
    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a damaged header raises what Python's tokenizer and parser raise
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file} is a damaged or pickled npy file: {reason}") from error


def _is_floating(dtype: np.dtype) -> bool:
    return np.issubdtype(dtype, np.floating) or dtype == ml_dtypes.bfloat16
