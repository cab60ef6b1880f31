# SPDX-License-Identifier: Apache-2.0
"""Batches of tokens from a task, before they become model features, with an exact position.

`TextTokens` reads a task over texts as NumPy rows; `SeqioTokens` reads any SeqIO task or mixture
through tf.data. Both yield (inputs int32 [b, t], targets int32 [b, l]): b is the batch size but in
a last batch, and t and l are at most the feature lengths.
"""

import glob
import os
import shutil
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from prompt_tuning.data import cached_task, token_rows

Lengths = Mapping[str, int]
TokenBatch = tuple[np.ndarray, np.ndarray]


class TextTokens:
    """Token batches of a task over `TextSource`; the position is the number of the next example.

    Each epoch has its own permutation, drawn from the seed and the number of the epoch, so going
    to a position costs nothing.
    """

    kind = "text"

    def __init__(
        self,
        task: seqio.Task,
        seed: int,
        *,
        split: str,
        batch_size: int,
        shuffle: bool,
        num_epochs: int | None,
        lengths: Lengths | None,
        use_cached: bool = False,
    ):
        """Tokenises the split if it is not yet; `use_cached` has no meaning for texts."""
        del use_cached
        self._seed = seed
        self._rows = task.source.tokens(split)
        self._eos = {
            name: feature.vocabulary.eos_id if feature.add_eos else None
            for name, feature in task.output_features.items()
        }
        self.lengths = dict(lengths or self._longest())
        self._size = len(self._rows["inputs"])
        self._end = None if num_epochs is None else num_epochs * self._size
        self._batch_size, self._shuffle = batch_size, shuffle
        self._position = 0
        self._epoch, self._epoch_order = -1, np.arange(0)

    def __next__(self) -> TokenBatch:
        wanted = self._batch_size
        if self._end is not None:
            wanted = min(wanted, self._end - self._position)
        if wanted == 0:
            raise StopIteration
        pieces = []
        while wanted:
            epoch, at = divmod(self._position, self._size)
            pieces.append(self._order(epoch)[at : at + wanted])
            self._position += len(pieces[-1])
            wanted -= len(pieces[-1])
        rows = np.concatenate(pieces)
        inputs, targets = (
            self._rows[name].padded(rows, self.lengths[name], self._eos[name])
            for name in token_rows.TASK_FEATURES
        )
        return inputs, targets

    def save(self, path: str) -> Mapping[str, int]:
        """The position; writes nothing."""
        del path
        return {"example": self._position, "size": self._size, "checksum": self._checksum()}

    def restore(self, path: str, position: Mapping[str, int], seed: int) -> None:
        """Goes to `position`.

        Raises:
          ValueError: the tokens are not those that it was saved for.
        """
        if (position["size"], position["checksum"]) != (self._size, self._checksum()):
            raise ValueError(
                f"the data position {path} was saved for {position['size']} other examples than "
                f"these {self._size}; restore the former file, or run without restoring the data."
            )
        self._seed, self._position, self._epoch = seed, position["example"], -1

    def _longest(self) -> Lengths:
        longest = {}
        for name, rows in self._rows.items():
            tokens = int(np.diff(rows.row_splits).max(initial=0))
            longest[name] = max(1, tokens + (self._eos[name] is not None))
        return longest

    def _order(self, epoch: int) -> np.ndarray:
        if self._epoch != epoch:
            self._epoch, self._epoch_order = epoch, np.arange(self._size)
            if self._shuffle:
                np.random.default_rng([self._seed, epoch]).shuffle(self._epoch_order)
        return self._epoch_order

    def _checksum(self) -> int:
        inputs, targets = (self._rows[name] for name in token_rows.TASK_FEATURES)
        return zlib.crc32(targets.values.tobytes(), zlib.crc32(inputs.values.tobytes()))


class SeqioTokens:
    """Token batches of any SeqIO task or mixture; the position is a checkpoint of tf.data's.

    Where Python code in the task keeps TensorFlow from writing one, the position is a count of
    batches, and going there reads the data from the start.
    """

    kind = "seqio"

    def __init__(
        self,
        task: seqio.Task | seqio.Mixture,
        seed: int,
        *,
        split: str,
        batch_size: int,
        shuffle: bool,
        num_epochs: int | None,
        lengths: Lengths | None,
        use_cached: bool,
    ):
        """Raises ValueError for a missing split, missing lengths, or features that do not fit.

        With `use_cached` also errors of `cached_task.check`.
        """
        if lengths is None:
            raise ValueError(
                f"the task {task.name!r} needs lengths; set --inputs_length and --targets_length "
                "(TASK_FEATURE_LENGTHS)."
            )
        if use_cached:
            cached_task.check(task, split)
        if split not in task.splits:
            raise ValueError(
                f"the task {task.name!r} has no split {split!r}; it has {', '.join(task.splits)}."
            )
        self.lengths = {name: lengths[name] for name in token_rows.TASK_FEATURES}
        self._task, self._batch_size = task, batch_size
        self._options = {
            "split": split,
            "use_cached": use_cached,
            "shuffle": shuffle,
            "num_epochs": num_epochs,
            # Who reads once, and perhaps not to the end, would fill a cache for nobody.
            "try_in_mem_cache": num_epochs != 1,
        }
        self._batches = 0
        self._iterator = iter(self._dataset(seed))

    def __next__(self) -> TokenBatch:
        inputs, targets = next(self._iterator)
        self._batches += 1
        return inputs.numpy(), targets.numpy()

    def save(self, path: str) -> Mapping[str, Any]:
        """The position; writes the iterator's state to files whose names begin with `path`."""
        try:
            tf.train.Checkpoint(iterator=self._iterator).write(path)
        except tf.errors.FailedPreconditionError:
            for leftover in glob.glob(f"{glob.escape(path)}_temp*"):
                shutil.rmtree(leftover, ignore_errors=True)
            return {"batch": self._batches, "has_files": False}
        return {"batch": self._batches, "has_files": True}

    def restore(self, path: str, position: Mapping[str, Any], seed: int) -> None:
        """Goes to `position`.

        Raises:
          FileNotFoundError: the files beside `path` are missing.
        """
        self._iterator = iter(self._dataset(seed))
        self._batches = position["batch"]
        if not position["has_files"]:
            for _ in range(self._batches):
                next(self._iterator)
            return
        if not os.path.exists(f"{path}.index"):
            raise FileNotFoundError(f"the data position {path} lacks its file {path}.index.")
        tf.train.Checkpoint(iterator=self._iterator).read(path).assert_consumed()

    def _dataset(self, seed: int) -> tf.data.Dataset:
        dataset = self._task.get_dataset(self.lengths, seed=seed, **self._options)
        for name in token_rows.TASK_FEATURES:
            spec = dataset.element_spec.get(name)
            if spec is None or spec.dtype != tf.int32 or spec.shape.rank != 1:
                raise ValueError(
                    f"the task {self._task.name!r} has {spec} as {name!r}; an encoder-decoder "
                    "model needs int32 of rank 1."
                )
        dataset = dataset.map(lambda row: tuple(row[name] for name in token_rows.TASK_FEATURES))
        widths = tuple([self.lengths[name]] for name in token_rows.TASK_FEATURES)
        return dataset.padded_batch(self._batch_size, padded_shapes=widths).prefetch(2)
