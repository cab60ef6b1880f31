# SPDX-License-Identifier: Apache-2.0
"""Random T5s of a few numbers, as arrays and as HuggingFace folders. For tests."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from prompt_tuning.checkpoints import huggingface_config, huggingface_names
from prompt_tuning.checkpoints.lazy_array import InlineArray, LazyArray

SIZES = huggingface_names.Sizes(
    vocab_size=12,
    emb_dim=4,
    num_heads=2,
    head_dim=3,
    mlp_dim=10,
    num_encoder_layers=1,
    num_decoder_layers=2,
    relative_attention_num_buckets=8,
    gated=True,
    own_head=True,
)


def parameters(sizes: huggingface_names.Sizes = SIZES, dtype: Any = np.float32) -> dict[str, Any]:
    """Random arrays under T5X's names; no two are alike."""
    rng = np.random.default_rng(0)
    return {
        parameter.name: rng.normal(size=parameter.shape).astype(dtype)
        for parameter in huggingface_names.parameters(sizes)
    }


def lazy(arrays: Mapping[str, Any]) -> dict[str, LazyArray]:
    """As a checkpoint's leaves are."""
    return {name: InlineArray(name, array) for name, array in arrays.items()}


def tensors(arrays: Mapping[str, Any], sizes: huggingface_names.Sizes = SIZES) -> dict[str, Any]:
    """The same under HuggingFace's names and in its orientation."""
    return {
        parameter.huggingface: np.ascontiguousarray(
            arrays[parameter.name].T if parameter.transposed else arrays[parameter.name]
        )
        for parameter in huggingface_names.parameters(sizes)
    }


def write_folder(
    directory: str, files: Mapping[str, Mapping[str, Any]], **changes: Any
) -> dict[str, Any]:
    """A HuggingFace folder by the safetensors library: `{file: tensors}` and a config.json.

    Args:
      changes: entries of config.json beside those of `SIZES`; None takes one away.

    Returns:
      The entries of config.json.
    """
    os.makedirs(directory, exist_ok=True)
    for file, content in files.items():
        path = os.path.join(directory, file)
        safetensors.numpy.save_file(dict(content), path, metadata={"format": "pt"})
    entries = huggingface_config.HuggingFaceConfig(SIZES).to_json() | changes
    entries = {key: value for key, value in entries.items() if value is not None}
    with open(os.path.join(directory, huggingface_config.FILE), "w", encoding="utf-8") as stream:
        json.dump(entries, stream)
    return entries
