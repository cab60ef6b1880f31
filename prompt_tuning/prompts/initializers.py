# SPDX-License-Identifier: Apache-2.0
"""First values of a prompt: uniform noise, vocabulary embeddings, embedded texts, or an array from
a file.

An initializer is called as `(rng, shape)` with `shape = (P, H)` and returns an array of that shape.
The factories here draw exactly what google-research/prompt-tuning draws from the same key. They
know arrays, a vocabulary's `encode`, and `prompt_tuning.checkpoints`; they do not know where in a
model the prompt will live.

Shapes: `P` prompt positions, `H` embed, `V` embedding rows.
"""

import difflib
import io
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from absl import logging

from prompt_tuning.checkpoints import base_checkpoint, paths, prompt_files

Initializer = Callable[[jax.Array, Sequence[int]], jax.Array]
Array = np.ndarray | jax.Array


class Vocabulary(Protocol):
    """What is needed of a vocabulary: token ids of a text, without an end-of-sequence token."""

    def encode(self, s: str) -> Sequence[int]: ...


def uniform(scale: float = 0.01) -> Initializer:
    """Uniform noise in `[0, scale)`: not centred on zero, like Flax's initializer of that name."""
    return nn.initializers.uniform(scale)


def np_load(path: str | os.PathLike, restore_dtype: Any = None) -> np.ndarray:
    """Reads an array written by `np.save`, with or without the `.npy` suffix.

    Args:
      path: A local file or one on an object store (`gs://`).
      restore_dtype: Cast to this dtype; None keeps the dtype of the file. Raw two-byte values,
        which is how numpy stores bfloat16, come back as bfloat16.

    Raises:
      FileNotFoundError: `path` does not exist.
      ValueError: `path` is no file of `np.save`.
    """
    path = os.fspath(path)
    try:
        data = paths.read_bytes(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no array file at {path!r}; "
            "set PROMPT_FILE or EMBEDDING_FILE to a file that np.save wrote"
        ) from error
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype == np.dtype("V2"):
        array = array.view(ml_dtypes.bfloat16)
    return array if restore_dtype is None else array.astype(restore_dtype)


def t5x_load(
    checkpoint_path: str | os.PathLike, variable_path: str, restore_dtype: Any = None
) -> np.ndarray:
    """Reads one parameter of a base model; nothing else of the checkpoint is read.

    Args:
      checkpoint_path: A model directory (its latest step is used), a step directory, or the
        `checkpoint` file in it; or a HuggingFace folder.
      variable_path: The parameter's path, for example `token_embedder/embedding`; a leading `/` or
        `target/` is allowed.
      restore_dtype: Cast to this dtype; None keeps the dtype of the checkpoint.

    Raises:
      FileNotFoundError: There is no checkpoint.
      KeyError: The checkpoint has no such parameter; the nearest names are listed.
    """
    name = variable_path.removeprefix("/").removeprefix("target/")
    parameters = base_checkpoint.open_base(checkpoint_path).target()
    if name not in parameters:
        nearest = difflib.get_close_matches(name, parameters, n=3, cutoff=0.3)
        raise KeyError(
            f"the checkpoint {str(checkpoint_path)!r} has no parameter {name!r}; "
            f"the nearest names are {nearest}; change `variable_path` of `t5x_load`"
        )
    return parameters[name].get(restore_dtype)


def from_array(prompt: Array) -> Initializer:
    """The given array `[P, H]`, in its own dtype; the random key is not used.

    The initializer raises ValueError where the model asks for another shape.
    """

    def initialize(rng: jax.Array, shape: Sequence[int]) -> jax.Array:
        del rng
        prompt_files.check_shape(prompt.shape, tuple(shape))
        return jnp.asarray(prompt)

    return initialize


def from_sample_of_embeddings(embeddings: Array, population_size: int | None = None) -> Initializer:
    """Rows drawn from an embedding table (Lester et al. 2021, section 2.1, "sampled vocabulary").

    Rows are drawn without replacement, unless the prompt is longer than the population. The table
    stays in host memory when the initializer is called outside of `jax.jit`; inside, the population
    becomes a constant of the program.

    Args:
      embeddings: `[V, H]`; in a SentencePiece vocabulary the rows are ordered by frequency, special
        tokens first.
      population_size: Draw from this many first rows; None, or more than `V`, means all.

    Raises:
      ValueError: `population_size` is not positive. The initializer raises it where the widths
        differ.
    """
    rows = embeddings.shape[0]
    if population_size is None:
        population_size = rows
    if population_size <= 0:
        raise ValueError(
            f"population_size is {population_size}; "
            f"it must be positive, or None for all {rows} rows of the table"
        )
    if population_size > rows:
        logging.warning(
            "population_size is %d, the embedding table has only %d rows; drawing from all.",
            population_size,
            rows,
        )
        population_size = rows
    # A copy, so that a large table can be freed.
    table = np.array(embeddings[:population_size])

    def initialize(rng: jax.Array, shape: Sequence[int]) -> jax.Array:
        check_width(table, shape)
        replace = shape[0] > population_size
        if replace:
            logging.warning(
                "the prompt has %d positions, the population %d rows; drawing with replacement.",
                shape[0],
                population_size,
            )
        chosen = jax.random.choice(rng, population_size, (shape[0],), replace)
        return jnp.asarray(table)[chosen]

    return initialize


def from_embedded_list(
    embeddings: Array,
    vocab: Vocabulary,
    texts: Sequence[str],
    initializer: Initializer | None = None,
) -> Initializer:
    """One text for each position (Lester et al. 2021, section 2.1, "class labels").

    Position `i` is the mean of the embeddings of the tokens of `texts[i]`. Positions without a text
    come from `initializer`; texts beyond the prompt are left out with a warning.

    Args:
      embeddings: `[V, H]`.
      vocab: Its `encode` must not add an end-of-sequence token.
      texts: For example the class labels, verbalized.
      initializer: For the remaining positions; None means `uniform()`.

    The initializer raises ValueError where the widths differ or where a text has no tokens.
    """
    initializer = initializer or uniform()

    def initialize(rng: jax.Array, shape: Sequence[int]) -> jax.Array:
        check_width(embeddings, shape)
        prompt = initializer(rng, shape)
        if len(texts) > shape[0]:
            logging.warning(
                "there are %d texts for a prompt of %d positions; %s left out.",
                len(texts),
                shape[0],
                list(texts[shape[0] :]),
            )
        means = [_mean(_embed(embeddings, vocab, t)) for t in texts[: shape[0]]]
        return prompt.at[: len(means)].set(jnp.stack(means)) if means else prompt

    return initialize


def from_embedded_string(
    embeddings: Array, vocab: Vocabulary, text: str, initializer: Initializer | None = None
) -> Initializer:
    """One token of a text for each position.

    Positions after the text's end come from `initializer`; tokens beyond the prompt are left out
    with a warning.

    Args:
      embeddings: `[V, H]`.
      vocab: Its `encode` must not add an end-of-sequence token.
      text: For example a description of the task.
      initializer: For the remaining positions; None means `uniform()`.

    The initializer raises ValueError where the widths differ or where the text has no tokens.
    """
    initializer = initializer or uniform()

    def initialize(rng: jax.Array, shape: Sequence[int]) -> jax.Array:
        check_width(embeddings, shape)
        prompt = initializer(rng, shape)
        embedded = _embed(embeddings, vocab, text)
        if len(embedded) > shape[0]:
            logging.warning(
                "the text has %d tokens, the prompt %d positions; the last %d tokens are left out.",
                len(embedded),
                shape[0],
                len(embedded) - shape[0],
            )
        embedded = embedded[: shape[0]]
        return prompt.at[: len(embedded)].set(embedded)

    return initialize


def _embed(embeddings: Array, vocab: Vocabulary, text: str) -> np.ndarray:
    """Embeddings `[n, H]` of the `n` tokens of a text; only these rows leave the host."""
    ids = np.asarray(vocab.encode(text), np.int32)
    if not ids.size:
        raise ValueError(
            f"the text {text!r} has no tokens in this vocabulary; "
            "give texts that are not empty (CLASS_LABELS)"
        )
    return np.asarray(embeddings[ids])


def _mean(rows: np.ndarray) -> np.ndarray:
    """Of rows `[n, H]`, as XLA takes it on a CPU; devices round the last bit differently."""
    total = np.sum(rows, axis=0, dtype=np.float32)
    return (total * (np.float32(1) / np.float32(len(rows)))).astype(rows.dtype)


def check_width(embeddings: Array, shape: Sequence[int]) -> None:
    """Refuses a table whose rows are not as wide as the prompt's.

    Raises:
      ValueError: names both widths.
    """
    if embeddings.shape[-1] != shape[-1]:
        raise ValueError(
            f"the embedding table has width {embeddings.shape[-1]}, the prompt needs {shape[-1]}; "
            "take the embeddings of the prompted model (INITIAL_CHECKPOINT_PATH or EMBEDDING_FILE)"
        )
