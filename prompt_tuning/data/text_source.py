# SPDX-License-Identifier: Apache-2.0
"""A SeqIO data source over pairs of texts that tokenises a whole split in one call.

tf.data costs some 50 us for every step of every element, tokenising costs 2 us; so nothing here
runs once per element. The tokens are kept without padding: `pipeline` reads them as NumPy arrays,
and any SeqIO pipeline gets them as a dataset of slices. Training needs no texts, so they pass
through and only their tokens stay. Knows neither files nor task names.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import seqio
import tensorflow as tf

from prompt_tuning.data import file_task, token_rows

Examples = file_task.Examples

# Texts in memory at the same time while a split is tokenised.
_CHUNK = 8192


def tokenize(vocabulary, texts: Sequence[str]) -> token_rows.TokenRows:
    """Token rows of `texts`, without EOS; ids are those of `vocabulary.encode`.

    A vocabulary whose tokenizer has `encode_batch` does it in one call without the interpreter
    lock; any other SeqIO vocabulary is called text by text.
    """
    encode_batch = getattr(getattr(vocabulary, "tokenizer", None), "encode_batch", None)
    if encode_batch is not None:
        values, row_splits = encode_batch(list(texts))
        return token_rows.TokenRows(np.asarray(values, np.int32), np.asarray(row_splits, np.int64))
    rows = [vocabulary.encode(text) for text in texts]
    row_splits = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return token_rows.TokenRows(np.array(sum(rows, []), np.int32), row_splits)


def _chunks(stream: file_task.ExampleStream) -> Iterator[tuple[list[str], list[str]]]:
    """The texts and the targets of at most _CHUNK examples at a time.

    No example outlives its turn: thousands of them at once would have the garbage collector look
    through all of the process again and again.
    """
    texts: list[str] = []
    targets: list[str] = []
    for example in stream:
        texts.append(example.text)
        targets.append(example.target)
        if len(texts) == _CHUNK:
            yield texts, targets
            texts, targets = [], []
    if texts:
        yield texts, targets


class TextSource(seqio.DataSource):
    """Pairs of texts by split; each split is read and tokenised at its first use.

    The tokens are kept: 4 bytes for each. The texts are kept only of splits that a dataset was
    asked of, which evaluation does.

    Elements have what SeqIO's `tokenize` preprocessor gives: inputs and targets (int32, no EOS),
    inputs_pretokenized and targets_pretokenized.

    Attributes:
      label_words: the candidate answers in label id order; empty where the task is to generate.
    """

    def __init__(
        self,
        load: Callable[[str], file_task.ExampleStream],
        splits: Iterable[str],
        vocabulary,
        label_words: Sequence[str] = (),
    ):
        """Prepares the source; nothing is loaded yet.

        Args:
          load: gives the examples of a split.
          splits: names of the splits.
          vocabulary: tokenises inputs and targets; `data_ops` or SeqIO.
          label_words: the candidate answers.
        """
        super().__init__(splits=splits, caching_permitted=False, performs_internal_shuffling=True)
        self.label_words = tuple(label_words)
        self._vocabulary = vocabulary
        self._load = load
        self._texts: dict[str, Examples] = {}
        self._skipped: dict[str, int] = {}
        self.tokens = functools.cache(self._tokenize)

    def examples(self, split: str) -> Examples:
        """The texts of a split, read at the first call and kept."""
        if split not in self._texts:
            self._texts[split] = file_task.collect(self._open(split))
        return self._texts[split]

    def skipped(self, split: str) -> int:
        """How many bad rows of a split were left out."""
        self.tokens(split)
        return self._skipped[split]

    def _open(self, split: str) -> file_task.ExampleStream:
        if split not in self.splits:
            raise ValueError(
                f"there is no split {split!r}; this task has {', '.join(self.splits)}."
                f"{file_task.nearest(split, self.splits)}"
            )
        return self._load(split)

    def _tokenize(self, split: str) -> dict[str, token_rows.TokenRows]:
        stream = self._texts.get(split) or self._open(split)
        inputs: list[token_rows.TokenRows] = []
        targets: list[token_rows.TokenRows] = []
        for texts, answers in _chunks(stream):
            inputs.append(tokenize(self._vocabulary, texts))
            targets.append(tokenize(self._vocabulary, answers))
        self._skipped[split] = stream.skipped
        return {"inputs": token_rows.join(inputs), "targets": token_rows.join(targets)}

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return True

    def list_shards(self, split: str) -> Sequence[str]:
        return [split]

    def num_input_examples(self, split: str) -> int:
        return len(self.tokens(split)["inputs"])

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **unused,
    ) -> tf.data.Dataset:
        """The split as a dataset of slices; `shuffle` permutes all of it, not a window."""
        examples, tokens = self.examples(split), self.tokens(split)
        rows = np.arange(len(examples))
        if shuffle:
            rows = np.random.default_rng(seed).permutation(rows)
        if shard_info is not None:
            rows = rows[shard_info.index :: shard_info.num_shards]
        features = {}
        texts = {"inputs": examples.inputs, "targets": examples.targets}
        for name, ragged in tokens.items():
            features[name] = tf.gather(
                tf.RaggedTensor.from_row_splits(ragged.values, ragged.row_splits, validate=False),
                rows,
            )
            features[f"{name}_pretokenized"] = tf.gather(tf.constant(texts[name]), rows)
        return tf.data.Dataset.from_tensor_slices(features)
