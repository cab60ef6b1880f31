# SPDX-License-Identifier: Apache-2.0
"""First values of a prompt as HuggingFace PEFT chooses them, for runs to compare with its own.

PEFT's RANDOM, SAMPLE_VOCAB and TEXT (`PromptTuningConfig.prompt_tuning_init`). They differ from this
project's `initializers` in what is drawn; the random numbers themselves are JAX's, not PyTorch's.

Shapes: `P` prompt positions, `H` embed, `V` embedding rows.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from prompt_tuning.prompts import initializers


def random() -> initializers.Initializer:
    """RANDOM, PEFT's default: standard normal numbers, far below T5's embeddings in norm."""
    return nn.initializers.normal(1.0)


def sample_vocab(embeddings: initializers.Array) -> initializers.Initializer:
    """SAMPLE_VOCAB: any rows of the whole table, special and unused ones too, with replacement.

    Args:
      embeddings: `[V, H]`.

    The initializer raises ValueError where the widths differ.
    """

    def initialize(rng: jax.Array, shape: Sequence[int]) -> jax.Array:
        initializers.check_width(embeddings, shape)
        chosen = jax.random.randint(rng, (shape[0],), 0, embeddings.shape[0])
        return jnp.asarray(embeddings)[chosen].astype(jnp.float32)

    return initialize


def text(
    embeddings: initializers.Array, vocab: initializers.Vocabulary, text: str, eos_id: int = 1
) -> initializers.Initializer:
    """TEXT: the tokens of a text and the end token, from the start again until the prompt is full.

    Args:
      embeddings: `[V, H]`.
      vocab: its `encode` must not add an end-of-sequence token.
      text: for example a description of the task; cut off where it is longer than the prompt.
      eos_id: what the tokenizers of T5 put behind every text.

    The initializer raises ValueError where the widths differ.
    """
    ids = np.asarray([*vocab.encode(text), eos_id], np.int32)

    def initialize(rng: jax.Array, shape: Sequence[int]) -> jax.Array:
        del rng
        initializers.check_width(embeddings, shape)
        return jnp.asarray(embeddings[np.resize(ids, shape[0])], jnp.float32)

    return initialize
