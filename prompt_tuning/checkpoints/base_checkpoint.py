# SPDX-License-Identifier: Apache-2.0
"""Opens the model that a run starts from, whatever its format.

A HuggingFace folder, the name of a model on the hub, or a T5X checkpoint, scanned or not: all come
out as unscanned leaves under T5X's names. `describe` says what such a model asks of the network and
the tokenizer. The formats themselves are other modules' work.
"""

import dataclasses
import os
from typing import Any

from prompt_tuning.checkpoints import (
    huggingface_config,
    huggingface_download,
    huggingface_format,
    huggingface_names,
    scanned_layers,
    t5x_format,
    vocabulary_files,
)


@dataclasses.dataclass(frozen=True)
class Description:
    """What a base model says of itself.

    Attributes:
      t5_config_fields: arguments for `models.network.T5Config`, all but `dtype` and `dropout_rate`.
      vocabulary_file: the SentencePiece model beside the weights, or None.
      extra_ids: sentinels behind its pieces; 0 without a file.
    """

    t5_config_fields: dict[str, Any]
    vocabulary_file: str | None = None
    extra_ids: int = 0


def open_base(path: str | os.PathLike[str], step: int | None = None) -> t5x_format.Checkpoint:
    """Opens without reading its large arrays.

    Args:
      path: what `t5x_format.open_checkpoint` takes, a local HuggingFace folder, or a hub name.
      step: of a T5X model directory; HuggingFace folders have none and are step 0.

    Returns:
      A checkpoint; a `huggingface_format.HuggingFaceCheckpoint`, which knows the architecture and
      the vocabulary's file, where it is HuggingFace's.

    Raises:
      FileNotFoundError, ValueError, OSError: as the reader of the format.
    """
    name = str(path)
    if "://" not in name and not os.path.exists(name):
        name = huggingface_download.local_folder(name)
    if huggingface_format.is_huggingface(name):
        return huggingface_format.open_checkpoint(name)
    checkpoint = t5x_format.open_checkpoint(name, step)
    leaves = scanned_layers.share_biases(scanned_layers.unstack(checkpoint.leaves))
    return dataclasses.replace(checkpoint, leaves=leaves)


def describe(path: str | os.PathLike[str]) -> Description:
    """The architecture and vocabulary of the model at `path`; reads no large array.

    HuggingFace's `config.json` decides where there is one. T5X's files hold no configuration: sizes
    follow from the shapes, and a gated MLP is T5 1.1's, another the original T5's.

    Raises:
      FileNotFoundError, ValueError, OSError: as `open_base`, or a parameter that tells a size is
        missing; names it.
    """
    checkpoint = open_base(path)
    if isinstance(checkpoint, huggingface_format.HuggingFaceCheckpoint):
        fields, file = checkpoint.config.t5_config_fields(), checkpoint.vocabulary_file
        extra_ids = vocabulary_files.extra_ids(file, fields["vocab_size"]) if file else 0
        return Description(fields, file, extra_ids)
    shapes = {name: tuple(leaf.shape) for name, leaf in checkpoint.target().items()}
    try:
        sizes = huggingface_names.sizes_of(shapes)
    except ValueError as error:
        raise ValueError(f"{checkpoint.directory} holds no whole T5: {error}") from error
    projection = "gated-gelu" if sizes.gated else "relu"
    config = huggingface_config.HuggingFaceConfig(sizes, projection)
    return Description(config.t5_config_fields())
