# SPDX-License-Identifier: Apache-2.0
"""Opens the model that a run starts from, whatever its format.

A HuggingFace folder, the name of a model on the hub, or a T5X checkpoint, scanned or not: all come
out as unscanned leaves under T5X's names. The formats themselves are other modules' work.
"""

import dataclasses
import os

from prompt_tuning.checkpoints import (
    huggingface_download,
    huggingface_format,
    scanned_layers,
    t5x_format,
)


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
