# SPDX-License-Identifier: Apache-2.0
"""What the bundled model is and where its files are. Imports nothing, so that anyone may ask."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Sentinels for span corruption, the last ids of the vocabulary; SeqIO appends them to the pieces of
# the file.
EXTRA_IDS = 100
# The step of the checkpoint: the number of its pre-training steps.
STEP = 1800
# The sizes of the network, by the names of `models.network.T5Config`.
SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": 1280,
        "emb_dim": 128,
        "num_heads": 4,
        "head_dim": 32,
        "mlp_dim": 256,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
    }
)
MODEL_NAME = "t5_1_1_tiny_world"

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def checkpoint_path() -> str:
    """The checkpoint directory: T5X native format, bfloat16."""
    return os.path.join(_FOLDER, MODEL_NAME, f"checkpoint_{STEP}")


def vocabulary_path() -> str:
    """The SentencePiece model file."""
    return os.path.join(_FOLDER, "sentencepiece.model")


def source_folder() -> str:
    """Where programs that remake the files write them: the source tree, also in `bazel run`."""
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    return os.path.join(workspace, "prompt_tuning", "bundled") if workspace else _FOLDER
