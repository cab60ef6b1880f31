# SPDX-License-Identifier: Apache-2.0
"""HuggingFace T5 folders <-> T5X's `{name: array}`: the public face of reading and writing them.

  config.json                                      the architecture (huggingface_config)
  model.safetensors                                the weights, in one file, or
  model.safetensors.index.json, model-0000*        in several
  spiece.model                                     the SentencePiece vocabulary
  generation_config.json                           written, not read

Weights may be `pytorch_model.bin` instead (huggingface_pickles). What is opened is a checkpoint as
`t5x_format` opens them, so both enter a run in the same way. Knows no network and no PyTorch.
"""

import dataclasses
import json
import os
from collections.abc import Callable

import ml_dtypes
import numpy as np

from prompt_tuning.checkpoints import (
    huggingface_config,
    huggingface_names,
    huggingface_pickles,
    safetensors_files,
    t5x_format,
)
from prompt_tuning.checkpoints.huggingface_config import HuggingFaceConfig
from prompt_tuning.checkpoints.huggingface_writer import (
    INDEX_SUFFIX,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    write_checkpoint,
)
from prompt_tuning.checkpoints.lazy_array import LazyArray
from prompt_tuning.checkpoints.safetensors_files import MappedArray
from prompt_tuning.checkpoints.transposed_array import TransposedArray

__all__ = ["HuggingFaceCheckpoint", "is_huggingface", "open_checkpoint", "write_checkpoint"]

_READERS = {
    WEIGHTS_FILE: safetensors_files.read_file,
    "pytorch_model.bin": huggingface_pickles.read_file,
}
_OTHER_FRAMEWORKS = ("flax_model.msgpack", "tf_model.h5", "model.ckpt.index")
_DTYPES = tuple(np.dtype(kind) for kind in (np.float32, ml_dtypes.bfloat16, np.float16))
# Numbers. Tables that differ do so within the first of them.
_COMPARED_AT_ONCE = 2**16


@dataclasses.dataclass(frozen=True)
class HuggingFaceCheckpoint(t5x_format.Checkpoint):
    """An opened folder; as a T5X checkpoint of step 0 without optimizer state.

    Attributes:
      config: the architecture; `config.t5_config_fields()` are the network's settings.
      vocabulary_file: path of `spiece.model`, or None.
    """

    config: HuggingFaceConfig
    vocabulary_file: str | None


def is_huggingface(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a local folder with a HuggingFace `config.json`."""
    return os.path.isfile(os.path.join(path, huggingface_config.FILE))


def open_checkpoint(path: str | os.PathLike[str]) -> HuggingFaceCheckpoint:
    """Opens a HuggingFace T5 folder without reading its weights.

    Returns:
      A checkpoint with `target/<T5X name>` leaves in T5X's orientation, mapped from the files.

    Raises:
      FileNotFoundError: `config.json`, the weights or a shard are missing.
      ValueError: the architecture has no counterpart, or a tensor is missing, unknown, of another
        shape or dtype, or damaged; names it.
    """
    directory = str(path)
    config = huggingface_config.read_config(directory)
    tensors = _read_weights(directory)
    config, tensors = _with_head(config, tensors, directory)
    tensors = _without_copies(tensors, directory)
    wanted = list(huggingface_names.parameters(config.sizes))
    huggingface_names.check_names(
        {parameter.huggingface for parameter in wanted}, tensors, directory
    )
    leaves: dict[str, LazyArray] = {}
    for parameter in wanted:
        tensor = tensors[parameter.huggingface]
        _check_tensor(tensor, parameter.huggingface_shape, directory)
        name = f"target/{parameter.name}"
        leaves[name] = TransposedArray(name, tensor) if parameter.transposed else tensor
    vocabulary = os.path.join(directory, VOCABULARY_FILE)
    return HuggingFaceCheckpoint(
        directory, 0, leaves, config, vocabulary if os.path.isfile(vocabulary) else None
    )


def _read_weights(directory: str) -> dict[str, MappedArray]:
    for file, read in _READERS.items():
        path = os.path.join(directory, file)
        if os.path.isfile(path):
            return read(path)
        if os.path.isfile(path + INDEX_SUFFIX):
            return _read_shards(directory, path + INDEX_SUFFIX, read)
    others = [name for name in _OTHER_FRAMEWORKS if os.path.exists(os.path.join(directory, name))]
    hint = (
        f"; {others[0]} is not read: load it with transformers 4 and save it again as safetensors"
        if others
        else ""
    )
    raise FileNotFoundError(
        f"{directory} holds neither {WEIGHTS_FILE} nor {WEIGHTS_FILE}{INDEX_SUFFIX} nor "
        f"pytorch_model.bin{hint}."
    )


def _read_shards(
    directory: str, index: str, read: Callable[[str], dict[str, MappedArray]]
) -> dict[str, MappedArray]:
    with open(index, encoding="utf-8") as file:
        try:
            weight_map = dict(json.load(file)["weight_map"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{index} is no index of weights ({error!r}).") from error
    shards: dict[str, dict[str, MappedArray]] = {}
    tensors = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or os.path.basename(shard) != shard:
            raise ValueError(f"{index} puts {name} into {shard!r}, which is no file of the folder.")
        path = os.path.join(directory, shard)
        if shard not in shards and not os.path.isfile(path):
            raise FileNotFoundError(f"{path}, which should hold {name}, does not exist.")
        shards[shard] = shards.get(shard) or read(path)
        if name not in shards[shard]:
            raise ValueError(f"{path} does not hold {name}, which {index} puts there.")
        tensors[name] = shards[shard][name]
    return tensors


def _with_head(
    config: HuggingFaceConfig, tensors: dict[str, MappedArray], directory: str
) -> tuple[HuggingFaceConfig, dict[str, MappedArray]]:
    """Decides whether the logits come from the token table, from another, or from a copy of it.

    `tie_word_embeddings` does not: transformers 5 writes it as true for every model.
    """
    shared = tensors.get(huggingface_names.HUGGINGFACE_EMBEDDING)
    head = tensors.get(huggingface_names.HUGGINGFACE_HEAD)
    promised = config.sizes.own_head
    if head is None and promised:
        return config, tensors  # Missing, which the comparison of names says.
    if head is not None and shared is not None and not promised and _equal(head, shared):
        tensors = {k: v for k, v in tensors.items() if k != huggingface_names.HUGGINGFACE_HEAD}
        head = None
    if head is not None and config.scale_logits:
        raise ValueError(
            f"{directory} has {huggingface_names.HUGGINGFACE_HEAD} beside the token table and "
            "scales the logits, which no T5 does; if it is a T5 1.1, set tie_word_embeddings and "
            "scale_decoder_outputs to false in its config.json."
        )
    if head is None and shared is not None and not config.scale_logits:
        # Tied but not scaled: the same as a table of its own with equal values.
        tensors = tensors | {huggingface_names.HUGGINGFACE_HEAD: shared}
        head = shared
    return config.with_own_head(head is not None), tensors


def _without_copies(tensors: dict[str, MappedArray], directory: str) -> dict[str, MappedArray]:
    """Leaves out second copies of the token table, and what no model reads."""
    shared = tensors.get(huggingface_names.HUGGINGFACE_EMBEDDING)
    kept = {}
    for name, tensor in tensors.items():
        if name in huggingface_names.UNUSED:
            continue
        if name in huggingface_names.EMBEDDING_COPIES and shared is not None:
            if not _equal(tensor, shared):
                raise ValueError(
                    f"{name} in {directory} differs from {huggingface_names.HUGGINGFACE_EMBEDDING};"
                    " a T5 has one table of tokens."
                )
            continue
        kept[name] = tensor
    return kept


def _equal(a: MappedArray, b: MappedArray) -> bool:
    """Whether two arrays hold the same values; stops at the first block that differs."""
    if a.shape != b.shape:
        return False
    left, right = a.get().reshape(-1), b.get().reshape(-1)
    blocks = range(0, left.size, _COMPARED_AT_ONCE)
    return all(
        np.array_equal(left[i : i + _COMPARED_AT_ONCE], right[i : i + _COMPARED_AT_ONCE])
        for i in blocks
    )


def _check_tensor(tensor: MappedArray, shape: tuple[int, ...], directory: str) -> None:
    huggingface_names.check_shape(
        tensor.name, tensor.shape, shape, f"{directory} (by its config.json)"
    )
    if tensor.dtype not in _DTYPES:
        accepted = ", ".join(dtype.name for dtype in _DTYPES)
        raise ValueError(
            f"{tensor.name} in {tensor.path} is {tensor.dtype}; accepted are {accepted}."
        )
