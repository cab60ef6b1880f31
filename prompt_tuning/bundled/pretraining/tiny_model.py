# SPDX-License-Identifier: Apache-2.0
"""The network of the bundled sizes, with fresh weights or those of a checkpoint."""

import jax
import numpy as np
from flax import traverse_util

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import encoded_text
from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.models import models, network


def config() -> network.T5Config:
    """The bundled sizes, activations in float32."""
    return network.T5Config(**bundled.SIZES, dtype="float32")


def encoder_decoder(module: network.Transformer) -> models.EncoderDecoderModel:
    """The network with the bundled vocabulary, as a model that the trainer takes."""
    vocabulary = encoded_text.vocabulary()
    return models.EncoderDecoderModel(
        module=module, input_vocabulary=vocabulary, output_vocabulary=vocabulary, optimizer_def=None
    )


def initial_params(module: network.Transformer, seed: int) -> dict[str, jax.Array]:
    """Random parameters, flat, float32, by T5X's names."""
    tokens = np.ones((1, 2), np.int32)
    variables = module.init(jax.random.key(seed), tokens, tokens, tokens)
    return traverse_util.flatten_dict(variables["params"], sep="/")


def checkpoint_params(path: str) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint, flat, float32.

    Args:
      path: a checkpoint directory, or a model directory, of which the latest step is read.
    """
    return t5x_format.read_arrays(t5x_format.open_checkpoint(path).target(), dtype="float32")
