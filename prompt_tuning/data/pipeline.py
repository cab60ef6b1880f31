# SPDX-License-Identifier: Apache-2.0
"""Batches of model features from a task, with an exact position that can be saved and restored.

A task over `TextSource` is read as NumPy rows, tens of times faster than through tf.data; every
other SeqIO task or mixture is read through tf.data up to its tokens. Both give the arrays that
`seqio.get_dataset` with `EncDecFeatureConverter(pack=False)` gives. Knows no model and no prompt.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from prompt_tuning.data import tasks, text_source, token_rows, token_streams

Batch = token_rows.Batch
Lengths = Mapping[str, int]

_STATE_FORMAT = 1
_FEATURES = token_rows.MODEL_FEATURES


class BatchIterator(Iterator[Batch]):
    """Endless or finite batches of one split of a task or mixture.

    Batches hold `token_rows.MODEL_FEATURES`, int32. The order depends on the seed alone. Epochs
    follow one another within a batch, as in SeqIO. The last batch of finite data is left out with
    `drop_remainder`, else filled with rows of padding, whose loss weights are 0.

    With several shards (hosts of one run) every shard reads the same examples and keeps its part of
    the rows of each batch, as wide as the whole batch: the parts one below the other are the batch
    that one host would get. The position is that of the whole, so a run may go on with another
    number of hosts.

    Attributes:
      task: of SeqIO.
      lengths: tokens of "inputs" and "targets" at full width.
      seed: of the order; drawn if none was given.
    """

    def __init__(
        self,
        mixture_or_task_name: str,
        task_feature_lengths: Lengths | None,
        split: str,
        batch_size: int,
        shuffle: bool = True,
        seed: int | None = None,
        num_epochs: int | None = None,
        *,
        drop_remainder: bool = True,
        length_buckets: Mapping[str, Sequence[int]] | None = None,
        use_cached: bool = False,
        module: str | None = None,
        shard_index: int = 0,
        num_shards: int = 1,
    ):
        """Looks the task up and stands before its first batch.

        Args:
          mixture_or_task_name: registered, or the bundled demonstration.
          task_feature_lengths: {"inputs": T, "targets": L}; None, which only tasks over texts
            accept, takes the longest rows.
          split: of the task.
          batch_size: B, of all shards together.
          shuffle: in another order each epoch; else in the order of the source.
          seed: of the order.
          num_epochs: None repeats without end.
          drop_remainder: leave out an incomplete last batch instead of filling it.
          length_buckets: widths to choose from for "inputs" and "targets"; a batch gets the
            smallest that holds its longest row. None: always full width.
          use_cached: read SeqIO's cache of the task.
          module: imported first, to register tasks.
          shard_index: which part of each batch to give, from 0.
          num_shards: how many parts there are; divides B.

        Raises:
          ValueError: there is no such task or split, a number is out of range, or the task lacks
            inputs or targets.
        """
        _check_numbers(batch_size, num_epochs, seed, task_feature_lengths)
        self._shard = shard_rows(batch_size, shard_index, num_shards)
        if seed is None and shuffle and num_shards > 1:
            raise ValueError(
                f"the order of the examples has no seed, and {num_shards} hosts must agree on it; "
                "set --seed (train/utils.DatasetConfig.seed)."
            )
        self.task = tasks.ensure_registered(mixture_or_task_name, module)
        self._batch_size = batch_size
        self._drop_remainder = drop_remainder
        self._buckets = length_buckets
        self.seed = secrets.randbits(31) if seed is None else seed
        over_texts = isinstance(getattr(self.task, "source", None), text_source.TextSource)
        make: Any = token_streams.TextTokens if over_texts else token_streams.SeqioTokens
        self._tokens: token_streams.TextTokens | token_streams.SeqioTokens = make(
            self.task,
            self.seed,
            split=split,
            batch_size=batch_size,
            shuffle=shuffle,
            num_epochs=num_epochs,
            lengths=task_feature_lengths,
            use_cached=use_cached,
        )
        self.lengths: Lengths = self._tokens.lengths
        self._identity = {
            "format": _STATE_FORMAT,
            "kind": self._tokens.kind,
            "task": mixture_or_task_name,
            "batch_size": batch_size,
            "num_epochs": num_epochs,
            "shuffle": shuffle,
            "split": split,
            "lengths": dict(self.lengths),
        }
        self._examples, self._seconds = 0, 0.0

    @classmethod
    def from_config(cls, config, vocabulary=None, **overrides) -> "BatchIterator":
        """The batches of a `config.DatasetConfig`; `overrides` are arguments of the constructor."""
        tasks.from_config(config, vocabulary)
        arguments = {
            "mixture_or_task_name": config.mixture_or_task_name,
            "task_feature_lengths": config.task_feature_lengths,
            "split": config.split,
            "batch_size": config.batch_size,
            "shuffle": config.shuffle,
            "seed": config.seed,
            "use_cached": config.use_cached,
        }
        return cls(**arguments | overrides)

    @property
    def input_shapes(self) -> dict[str, tuple[int, int]]:
        """{model feature: (B, full width)} of the whole batch, to initialise a model with."""
        encoder, decoder = self.lengths["inputs"], self.lengths["targets"]
        widths = [encoder if name.startswith("enc") else decoder for name in _FEATURES]
        return {name: (self._batch_size, w) for name, w in zip(_FEATURES, widths, strict=True)}

    @property
    def examples_per_second(self) -> float:
        """Examples of whole batches per second spent in this iterator; 0 before the first batch."""
        return self._examples / self._seconds if self._seconds else 0.0

    def __next__(self) -> Batch:
        started = time.perf_counter()
        inputs, targets = next(self._tokens)
        missing = self._batch_size - len(inputs)
        if missing and self._drop_remainder:
            raise StopIteration
        self._examples += len(inputs)
        if missing:
            inputs = np.pad(inputs, ((0, missing), (0, 0)), constant_values=token_rows.PAD_ID)
            targets = np.pad(targets, ((0, missing), (0, 0)), constant_values=token_rows.PAD_ID)
        batch = token_rows.bucketed_features(inputs, targets, self.lengths, self._buckets)
        batch = {name: rows[self._shard] for name, rows in batch.items()}
        self._seconds += time.perf_counter() - started
        return batch

    def save(self, path: str) -> None:
        """Writes the position to `path`, and for tf.data to files whose names begin with it."""
        state = {**self._identity, "seed": self.seed, "position": self._tokens.save(path)}
        temporary = f"{path}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=2, sort_keys=True)
        os.replace(temporary, path)

    def restore(self, path: str) -> None:
        """Goes to a saved position: the next batch is the one that would have come next then.

        Raises:
          FileNotFoundError: nothing was saved there.
          ValueError: it was saved for other data or other batches.
        """
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no data position at {path}.")
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        for name, expected in self._identity.items():
            if state.get(name) != expected:
                raise ValueError(
                    f"the data position {path} was saved with {name} {state.get(name)!r}, and now "
                    f"it is {expected!r}; run with the former, or without restoring the data."
                )
        self.seed = state["seed"]
        self._tokens.restore(path, state["position"], self.seed)


def shard_rows(batch_size: int, shard_index: int, num_shards: int) -> slice:
    """The rows of a batch of `batch_size` that shard `shard_index` of `num_shards` has.

    Raises:
      ValueError: the shards do not divide the batch, or there is no such shard.
    """
    if num_shards < 1 or not 0 <= shard_index < num_shards:
        raise ValueError(
            f"the shard is {shard_index} of {num_shards}; it must be from 0 to num_shards - 1."
        )
    if batch_size % num_shards:
        raise ValueError(
            f"the batch size is {batch_size}, which {num_shards} hosts cannot share equally; set "
            "--batch_size (BATCH_SIZE) to a multiple of the number of hosts."
        )
    size = batch_size // num_shards
    return slice(shard_index * size, (shard_index + 1) * size)


def _check_numbers(
    batch_size: int, num_epochs: int | None, seed: int | None, lengths: Lengths | None
) -> None:
    if batch_size < 1:
        raise ValueError(f"the batch size is {batch_size}; it must be at least 1: --batch_size.")
    if num_epochs is not None and num_epochs < 1:
        raise ValueError(f"the number of epochs is {num_epochs}; it must be at least 1, or None.")
    if seed is not None and seed < 0:
        raise ValueError(f"the seed is {seed}; it must not be negative: --seed.")
    if lengths is None:
        return
    for name in token_rows.TASK_FEATURES:
        if not isinstance(lengths.get(name), int) or lengths[name] < 1:
            raise ValueError(
                f"the feature lengths are {dict(lengths)}; they must hold {name!r} of at least 1: "
                f"--{name}_length (TASK_FEATURE_LENGTHS)."
            )
