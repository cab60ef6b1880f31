# SPDX-License-Identifier: Apache-2.0
"""A batch as groups of rows of like length, each as narrow as its own longest row.

Where a loss is the sum of its rows' losses, its gradient is the sum of the groups' gradients. A
group has less padding than the batch, and its activations are gone before the next group's come: a
step then needs the memory of one group, however large the batch is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Batch = Mapping[str, Any]

# The targets shifted to the right: its last token stands where nothing is predicted any more.
_SHIFTED = "decoder_input_tokens"
_TARGETS, _WEIGHTS = "decoder_target_tokens", "decoder_loss_weights"


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """How batches are divided.

    Attributes:
      most_rows: rows of a group at most. All groups of a batch have the same number, the largest
        that divides the batch's; if that is below half of this, the batch stays whole.
      widths: {"encoder": ascending, "decoder": ascending}: the widths that a group may have. Each
        is compiled once.
    """

    most_rows: int
    widths: Mapping[str, Sequence[int]]

    def group_rows(self, rows: int) -> int:
        """Rows of each group of a batch of `rows`."""
        size = max(n for n in range(1, self.most_rows + 1) if rows % n == 0)
        return rows if 2 * size < self.most_rows else size

    def divide(self, batch: Batch) -> list[Batch]:
        """The groups, shortest rows first; their rows together are those of the batch.

        Args:
          batch: numpy arrays [B, ...]. Of the two-dimensional ones whose names begin with a key
            of `widths`, columns that are 0 in every row of a group are cut (in the decoder's input
            those that are 0 in its targets and weights). A batch with targets but no weights stays
            whole: each of its positions counts.
        """
        rows = len(next(iter(batch.values())))
        size = self.group_rows(rows)
        if size == rows or (_TARGETS in batch and _WEIGHTS not in batch):
            return [batch]
        lengths = {side: self._lengths(batch, side, rows) for side in self.widths}
        order = np.lexsort(tuple(reversed(lengths.values())))  # By the first side, then the next.
        return [
            self._group(batch, lengths, order[first : first + size])
            for first in range(0, rows, size)
        ]

    def _group(self, batch: Batch, lengths: Mapping[str, np.ndarray], rows: np.ndarray) -> Batch:
        group = {name: feature[rows] for name, feature in batch.items()}
        for side, of_rows in lengths.items():
            width = self._width(side, int(of_rows[rows].max()))
            for name in _features(batch, side):
                group[name] = group[name][:, :width]
        return group

    def _lengths(self, batch: Batch, side: str, rows: int) -> np.ndarray:
        """Columns of each row up to the last that is not 0 in some feature of that side: [B]."""
        lengths = np.zeros(rows, np.int64)
        for name in set(_features(batch, side)) - {_SHIFTED}:
            used = np.asarray(batch[name]) != 0
            last = used.shape[1] - np.argmax(used[:, ::-1], axis=1)
            lengths = np.maximum(lengths, np.where(used.any(axis=1), last, 0))
        return lengths

    def _width(self, side: str, longest: int) -> int | None:
        return next((width for width in self.widths[side] if width >= longest), None)


def _features(batch: Batch, side: str) -> list[str]:
    return [
        name for name, value in batch.items() if name.startswith(side + "_") and value.ndim == 2
    ]
