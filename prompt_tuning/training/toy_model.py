# SPDX-License-Identifier: Apache-2.0
"""A model with the parameter names and the loss interface of the real one, for tests.

Bag of tokens plus the mean of a prompt, through one matrix: compiles fast, and its loss goes down.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

VOCABULARY = 16
PROMPT = "encoder/prompt/prompt/prompt"
PROMPT_REGEX = ".*/prompt/.*"


class ToyModel:
    """Predicts every target token of an example from the mean of its inputs and of the prompt."""

    def __init__(self, dropout_rate: float = 0.0):
        self._dropout_rate = dropout_rate

    def arrange(self, params):
        """Returns the flat parameters as they are."""
        return dict(params)

    def memory_kind(self, name):
        """Returns None: everything lies on the device."""
        del name

    @property
    def rows_are_separate(self):
        """Returns whether no mask of dropout belongs to the batch as a whole."""
        return not self._dropout_rate

    def loss_fn(self, params, batch, dropout_rng):
        """Returns (summed cross-entropy, metric sums) as the T5 model does."""
        embedded = params["token_embedder"]["embedding"][batch["encoder_input_tokens"]]  # [B,T,H]
        prompt = params["encoder"]["prompt"]["prompt"]["prompt"]  # [P,H]
        x = jnp.mean(embedded, axis=1) + jnp.mean(prompt, axis=0, keepdims=True)  # [B,H]
        if dropout_rng is not None and self._dropout_rate:
            x *= jax.random.bernoulli(dropout_rng, 1.0 - self._dropout_rate, x.shape)
        logits = x @ params["decoder"]["logits_dense"]["kernel"]  # [B,V]
        targets, weights = batch["decoder_target_tokens"], batch["decoder_loss_weights"]  # [B,L]
        logits = jnp.broadcast_to(logits[:, None, :], (*targets.shape, logits.shape[-1]))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets) * weights
        loss = jnp.sum(losses)
        return loss, {
            "loss": loss,
            "z_loss": jnp.zeros(()),
            "cross_ent_loss": loss,
            "correct": jnp.sum((jnp.argmax(logits, axis=-1) == targets) * weights),
            "weight_sum": jnp.sum(weights),
            "num_examples": jnp.float32(targets.shape[0]),
            "decoder_target_tokens": jnp.sum(targets > 0).astype(jnp.float32),
            "decoder_target_positions": jnp.float32(targets.size),
        }


def make_params(prompt_length: int = 3, width: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns all parameters, flat, float32."""
    random = np.random.RandomState(seed)
    shapes = {
        "token_embedder/embedding": (VOCABULARY, width),
        "decoder/logits_dense/kernel": (width, VOCABULARY),
        PROMPT: (prompt_length, width),
    }
    return {name: random.normal(size=s).astype(np.float32) for name, s in shapes.items()}


def make_batch(index: int = 0, rows: int = 4, inputs: int = 5, targets: int = 2):
    """Returns the batch of a given index; the target is decided by the first input token."""
    random = np.random.RandomState(1000 + index)
    tokens = random.randint(2, VOCABULARY, size=(rows, inputs)).astype(np.int32)
    labels = np.repeat(2 + tokens[:, :1] % 2, targets, axis=1).astype(np.int32)
    return {
        "encoder_input_tokens": tokens,
        "decoder_input_tokens": np.zeros_like(labels),
        "decoder_target_tokens": labels,
        "decoder_loss_weights": np.ones(labels.shape, np.float32),
    }


class Batches(Iterator):
    """An endless stream of batches whose position can be saved to and restored from a file."""

    def __init__(self, start: int = 0):
        self.position = start

    def __next__(self):
        self.position += 1
        return make_batch(self.position - 1)

    def save(self, path: str) -> None:
        """Writes the position to a file named by `path` and a suffix, as TensorFlow does."""
        with open(path + ".index", "w", encoding="utf-8") as file:
            file.write(str(self.position))

    def restore(self, path: str) -> None:
        """Reads what `save` wrote."""
        with open(path + ".index", encoding="utf-8") as file:
            self.position = int(file.read())
