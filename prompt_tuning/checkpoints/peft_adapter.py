# SPDX-License-Identifier: Apache-2.0
"""Prompts as PEFT adapters: `adapter_config.json` and `adapter_model.safetensors`.

What PEFT's prompt methods are here, for an encoder-decoder:

  PROMPT_TUNING            a prompt. With num_transformer_submodules 2, PEFT's default, the table has
                           a second half for the decoder that PEFT trains nothing of and never uses.
  P_TUNING                 a prompt: what is saved is what came out of the reparameterisation.
  MULTITASK_PROMPT_TUNING  a prompt for each task, the shared one times the task's `columns @ rows`.
                           With two submodules PEFT trains with a prompt in the decoder and generates
                           without it; what is read here is what it generates with.
  PREFIX_TUNING            no counterpart: keys and values of the decoder, not positions of the input.

Knows no model and no PEFT.
"""

import dataclasses
import difflib
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from prompt_tuning.checkpoints import huggingface_pickles, safetensors_files

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PICKLE_FILE = "adapter_model.bin"
PROMPTS = ("PROMPT_TUNING", "P_TUNING")
MULTITASK = "MULTITASK_PROMPT_TUNING"

_EMBEDDINGS, _COLUMNS, _ROWS = "prompt_embeddings", "prefix_task_cols", "prefix_task_rows"
_FLOATS = ("float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class PeftAdapter:
    """The prompts of an adapter.

    Attributes:
      prompts: float32 `[tasks, P, H]`; one task unless it is a multitask adapter.
      config: the entries of `adapter_config.json`.
      notes: sentences on what was left out, for the user.
    """

    prompts: np.ndarray
    config: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def base_model(self) -> str:
        """The model that the adapter says it was trained for; "" if it does not say."""
        return self.config.get("base_model_name_or_path") or ""

    def prompt(self, task: int | None = None) -> np.ndarray:
        """The prompt `[P, H]` of a task; the task may be left out where there is one.

        Raises:
          ValueError: there is no such task, or several to choose from.
        """
        count = len(self.prompts)
        if task is None and count > 1:
            raise ValueError(
                f"the adapter has prompts of {count} tasks; name one, 0 to {count - 1}."
            )
        if not 0 <= (task or 0) < count:
            raise ValueError(f"the adapter has no task {task}; its tasks are 0 to {count - 1}.")
        return self.prompts[task or 0]


def is_adapter(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a folder with an `adapter_config.json`."""
    return os.path.isfile(os.path.join(path, CONFIG_FILE))


def read_adapter(path: str | os.PathLike[str]) -> PeftAdapter:
    """Reads the prompts of an adapter's folder.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: the method has no counterpart here, or a file is damaged; names the tensor.
    """
    directory = str(path)
    config = _read_config(directory)
    peft_type = config.get("peft_type")
    _check_type(peft_type, directory)
    length, width = (
        _natural(config, key, directory) for key in ("num_virtual_tokens", "token_dim")
    )
    submodules = config.get("num_transformer_submodules")
    if submodules is None:
        submodules = 2 if config.get("task_type") == "SEQ_2_SEQ_LM" else 1
    if submodules not in (1, 2):
        raise ValueError(
            f"{directory} has num_transformer_submodules {submodules!r}; 1 or 2 exist."
        )
    tensors = _read_tensors(directory)
    rows = submodules * length
    table = _tensor(tensors, _EMBEDDINGS, (rows, width), directory)
    notes = []
    if submodules == 2:
        use = "generates without" if peft_type == MULTITASK else "uses nothing of"
        notes.append(f"rows {length} to {rows - 1} are for the decoder; PEFT {use} them.")
    if peft_type != MULTITASK:
        return PeftAdapter(table[None, :length], config, tuple(notes))
    tasks, ranks = (_natural(config, key, directory) for key in ("num_tasks", "num_ranks"))
    columns = _tensor(tensors, _COLUMNS, (tasks, rows, ranks), directory)
    factors = columns @ _tensor(tensors, _ROWS, (tasks, ranks, width), directory)
    return PeftAdapter((table * factors)[:, :length], config, tuple(notes))


def write_adapter(
    directory: str,
    prompts: np.ndarray,
    *,
    num_layers: int,
    num_attention_heads: int,
    base_model: str = "",
) -> None:
    """Writes an adapter that gives a HuggingFace T5 these prompts; it appears when it is whole.

    Args:
      directory: must not exist.
      prompts: `[P, H]` becomes PROMPT_TUNING; `[tasks, P, H]` MULTITASK_PROMPT_TUNING, whose factors
        are chosen so that each task's product is its prompt, bit for bit.
      num_layers: of the model's encoder (`num_layers` of its config).
      num_attention_heads: of the model (`num_heads`).
      base_model: name or folder of the model, for PEFT's `AutoPeftModel`.

    Raises:
      FileExistsError: `directory` exists.
      ValueError: the array is no prompt.
    """
    values = np.asarray(prompts)
    if values.ndim not in (2, 3) or 0 in values.shape or not _is_float(values):
        raise ValueError(
            f"a prompt of shape {list(values.shape)} and {values.dtype} was given; accepted are "
            "floats [P, H], or [tasks, P, H]."
        )
    if os.path.exists(directory):
        raise FileExistsError(f"{directory} exists; name a new folder, or remove it.")
    values = values.astype(np.float32)
    length, width = values.shape[-2:]
    tensors = {_EMBEDDINGS: values}
    config: dict[str, Any] = {
        "auto_mapping": None,
        "base_model_name_or_path": base_model or None,
        "inference_mode": True,
        "num_attention_heads": num_attention_heads,
        "num_layers": num_layers,
        # PEFT's default of 2 would add rows that it never uses.
        "num_transformer_submodules": 1,
        "num_virtual_tokens": length,
        "peft_type": PROMPTS[0],
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": None,
        "revision": None,
        "task_type": "SEQ_2_SEQ_LM",
        "token_dim": width,
        "tokenizer_kwargs": None,
        "tokenizer_name_or_path": None,
    }
    if values.ndim == 3:
        tasks = len(values)
        tensors = {
            _COLUMNS: np.tile(np.eye(length, dtype=np.float32), (tasks, 1, 1)),
            _ROWS: values,
            _EMBEDDINGS: np.ones((length, width), np.float32),
        }
        config |= {
            "num_ranks": length,
            "num_tasks": tasks,
            "peft_type": MULTITASK,
            "prompt_tuning_init_state_dict_path": None,
            "prompt_tuning_init_task": 0,
        }
    _write(directory, config, tensors)


def _write(directory: str, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    work = f"{os.path.normpath(directory)}.tmp-{os.getpid()}"
    os.makedirs(work)
    try:
        safetensors_files.write_file(os.path.join(work, WEIGHTS_FILE), tensors)
        with open(os.path.join(work, CONFIG_FILE), "w", encoding="utf-8") as file:
            file.write(json.dumps(config, indent=2, sort_keys=True))
        os.rename(work, directory)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _read_config(directory: str) -> dict[str, Any]:
    path = os.path.join(directory, CONFIG_FILE)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} does not exist; a PEFT adapter's folder has it.")
    with open(path, encoding="utf-8") as file:
        try:
            config = json.load(file)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is no JSON: {error}.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no JSON object.")
    return config


def _check_type(peft_type: Any, directory: str) -> None:
    accepted = (*PROMPTS, MULTITASK)
    if peft_type in accepted:
        return
    reason = "; this method is no prompt."
    if peft_type == "PREFIX_TUNING":
        reason = (
            ", whose keys and values for the decoder's attention are no positions of the input and "
            "have no counterpart here; train the prompt again with PROMPT_TUNING."
        )
    elif close := difflib.get_close_matches(str(peft_type), accepted, 1):
        reason = f"; did you mean {close[0]}?"
    raise ValueError(
        f"{directory} has peft_type {peft_type!r}{reason} Accepted are {', '.join(accepted)}."
    )


def _read_tensors(directory: str) -> Mapping[str, safetensors_files.MappedArray]:
    path = os.path.join(directory, WEIGHTS_FILE)
    if os.path.isfile(path):
        return safetensors_files.read_file(path)
    pickled = os.path.join(directory, PICKLE_FILE)
    if os.path.isfile(pickled):
        return huggingface_pickles.read_file(pickled)
    raise FileNotFoundError(f"{directory} holds neither {WEIGHTS_FILE} nor {PICKLE_FILE}.")


def _tensor(
    tensors: Mapping[str, safetensors_files.MappedArray],
    name: str,
    shape: tuple[int, ...],
    directory: str,
) -> np.ndarray:
    """float32 values of a tensor, in memory."""
    if name not in tensors:
        raise ValueError(f"{directory} holds no {name}, but {', '.join(tensors) or 'nothing'}.")
    tensor = tensors[name]
    if tensor.shape != shape:
        raise ValueError(
            f"{name} in {tensor.path} has shape {list(tensor.shape)}; {CONFIG_FILE} says "
            f"{list(shape)}."
        )
    if tensor.dtype.name not in _FLOATS:
        raise ValueError(
            f"{name} in {tensor.path} is {tensor.dtype}; accepted are {', '.join(_FLOATS)}."
        )
    values = np.array(tensor.get(), np.float32)
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} in {tensor.path} has numbers that are NaN or infinite; nothing can be computed "
            "with it. Take the adapter of an earlier step."
        )
    return values


def _natural(config: Mapping[str, Any], key: str, directory: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"{directory} has {key} {value!r} in {CONFIG_FILE}; it must be an integer above 0."
        )
    return value


def _is_float(values: np.ndarray) -> bool:
    return values.dtype.name in (*_FLOATS, "float64")
