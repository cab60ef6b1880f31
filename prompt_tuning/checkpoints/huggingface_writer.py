# SPDX-License-Identifier: Apache-2.0
"""Writes HuggingFace T5 folders from T5X's `{name: array}`, a file after the other.

`huggingface_format.write_checkpoint` is the public name.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping

from prompt_tuning.checkpoints import huggingface_config, huggingface_names, safetensors_files
from prompt_tuning.checkpoints.huggingface_config import HuggingFaceConfig
from prompt_tuning.checkpoints.lazy_array import DTypeLike, LazyArray, as_dtype
from prompt_tuning.checkpoints.transposed_array import TransposedArray

WEIGHTS_FILE = "model.safetensors"
INDEX_SUFFIX = ".index.json"
VOCABULARY_FILE = "spiece.model"
# Shards of the size that hubs and older readers are used to.
SHARD_BYTES = 5 * 10**9


def write_checkpoint(
    directory: str,
    target: Mapping[str, LazyArray],
    *,
    feed_forward_proj: str | None = None,
    model_type: str = "t5",
    relative_attention_max_distance: int = 128,
    save_dtype: DTypeLike | None = None,
    shard_bytes: int = SHARD_BYTES,
    vocabulary_file: str | None = None,
) -> HuggingFaceConfig:
    """Writes a HuggingFace folder; it appears under its name only when it is whole.

    One array is in memory at a time. Sizes, and whether the logits have a table of their own, are
    seen from the arrays; what they do not tell has to be given.

    Args:
      directory: must not exist.
      target: every parameter of a T5 under T5X's names, and nothing else.
      feed_forward_proj: a name of `huggingface_config.ACTIVATIONS`; by default `gated-gelu` (T5 1.1)
        for a gated MLP, `relu` (the original) for another.
      save_dtype: float32, bfloat16 or float16; None keeps each array's own.
      shard_bytes: the largest file; an array that is larger has a file of its own.
      vocabulary_file: is copied as `spiece.model`.

    Raises:
      FileExistsError: `directory` exists.
      ValueError: a parameter is missing, unknown, or has another shape; names it.
    """
    if os.path.exists(directory):
        raise FileExistsError(f"{directory} exists; name a new folder, or remove it.")
    shapes = {name: array.shape for name, array in target.items()}
    config = _config(shapes, feed_forward_proj, model_type, relative_attention_max_distance)
    wanted = {parameter.name: parameter for parameter in huggingface_names.parameters(config.sizes)}
    huggingface_names.check_names(wanted.keys(), target, "the checkpoint")
    arrays: dict[str, LazyArray] = {}
    for name, array in target.items():  # In the order of the source, which may read in blocks.
        parameter = wanted[name]
        huggingface_names.check_shape(name, array.shape, parameter.shape, "the checkpoint")
        arrays[parameter.huggingface] = (
            TransposedArray(name, array) if parameter.transposed else array
        )
    work = f"{os.path.normpath(directory)}.tmp-{os.getpid()}"
    os.makedirs(work)
    try:
        _write_weights(work, arrays, save_dtype, shard_bytes)
        _write_json(os.path.join(work, huggingface_config.FILE), config.to_json())
        generation = huggingface_config.generation_json()
        _write_json(os.path.join(work, huggingface_config.GENERATION_FILE), generation)
        if vocabulary_file:
            shutil.copyfile(vocabulary_file, os.path.join(work, VOCABULARY_FILE))
        os.rename(work, directory)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return config


def _config(
    shapes: Mapping[str, tuple[int, ...]],
    feed_forward_proj: str | None,
    model_type: str,
    relative_attention_max_distance: int,
) -> HuggingFaceConfig:
    sizes = huggingface_names.sizes_of(shapes)
    projection = feed_forward_proj or ("gated-gelu" if sizes.gated else "relu")
    known = [
        name for name in huggingface_config.ACTIVATIONS if name.startswith("gated-") == sizes.gated
    ]
    if projection not in known:
        raise ValueError(
            f"feed_forward_proj is {projection!r}, but the model's MLP is "
            f"{'' if sizes.gated else 'not '}gated; accepted are {', '.join(known)}."
        )
    if model_type not in huggingface_config.MODEL_TYPES or (
        model_type == "mt5" and not sizes.own_head
    ):
        raise ValueError(
            f"model_type is {model_type!r}; accepted are t5 and, for a model whose logits have "
            "their own table, mt5."
        )
    return HuggingFaceConfig(
        sizes,
        projection,
        scale_logits=not sizes.own_head,
        model_type=model_type,
        relative_attention_max_distance=relative_attention_max_distance,
    )


def _write_weights(
    directory: str,
    arrays: Mapping[str, LazyArray],
    dtype: DTypeLike | None,
    shard_bytes: int,
) -> None:
    shards: list[dict[str, LazyArray]] = [{}]
    filled, total = 0, 0
    for name, array in arrays.items():
        itemsize = (array.dtype if dtype is None else as_dtype(dtype)).itemsize
        size = math.prod(array.shape) * itemsize
        if shards[-1] and filled + size > shard_bytes:
            shards.append({})
            filled = 0
        shards[-1][name] = array
        filled, total = filled + size, total + size
    if len(shards) == 1:
        path = os.path.join(directory, WEIGHTS_FILE)
        safetensors_files.write_file(path, shards[0], dtype)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        path = os.path.join(directory, file)
        safetensors_files.write_file(path, shard, dtype)
        weight_map |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    _write_json(os.path.join(directory, WEIGHTS_FILE + INDEX_SUFFIX), index)


def _write_json(path: str, entries: Mapping[str, object]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(entries, indent=2, sort_keys=True) + "\n")
