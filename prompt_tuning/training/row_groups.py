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
      most_rows: rows of a wide group at most. The groups of a batch have the same number, the
        largest that divides the batch's, or in narrow ones several times as many; if that is below
        half of this, the batch stays whole.
      widths: {"encoder": ascending, "decoder": ascending}: the widths that a group may have. Each
        pair is compiled once for each number of rows.
      full_width: neighbours of one shape are one group while it has no more tokens than `most_rows`
        rows of this width have, and no more than four times as many rows. Each group reads the
        weights once, which for few tokens takes much of its time: groups of 24 rows of 16 tokens
        and a prompt of 100 take 0.86 of the time of 8.
    """

    most_rows: int
    widths: Mapping[str, Sequence[int]]
    full_width: int = 128

    def group_rows(self, rows: int) -> int:
        """Rows of each wide group of a batch of `rows`."""
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
        groups = [
            self._cut(batch, lengths, order[first : first + size]) for first in range(0, rows, size)
        ]
        return self._merge(groups)

    def _cut(self, batch: Batch, lengths: Mapping[str, np.ndarray], rows: np.ndarray) -> Batch:
        group = {name: feature[rows] for name, feature in batch.items()}
        for side, of_rows in lengths.items():
            width = next((w for w in self.widths[side] if w >= of_rows[rows].max()), None)
            for name in _features(batch, side):
                group[name] = group[name][:, :width]
        return group

    def _merge(self, groups: Sequence[Batch]) -> list[Batch]:
        """Neighbours of one shape together, as long as they are few tokens and few prompts."""
        most = self.most_rows * self.full_width
        merged = [groups[0]]
        for group in groups[1:]:
            last = merged[-1]
            rows = sum(len(next(iter(each.values()))) for each in (last, group))
            few = self._tokens(last) + self._tokens(group) <= most and rows <= 4 * self.most_rows
            if few and all(last[name].shape[1:] == group[name].shape[1:] for name in group):
                merged[-1] = {name: np.concatenate([last[name], group[name]]) for name in group}
            else:
                merged.append(group)
        return merged

    def _tokens(self, group: Batch) -> int:
        """Of all sides together; padding and each of several candidates of a row count."""
        return sum(
            max((x.size for name, x in group.items() if name.startswith(side + "_")), default=0)
            for side in self.widths
        )

    def _lengths(self, batch: Batch, side: str, rows: int) -> np.ndarray:
        """Columns of each row up to the last that is not 0 in some feature of that side: [B]."""
        lengths = np.zeros(rows, np.int64)
        for name in set(_features(batch, side)) - {_SHIFTED}:
            used = np.asarray(batch[name]) != 0
            last = used.shape[1] - np.argmax(used[:, ::-1], axis=1)
            lengths = np.maximum(lengths, np.where(used.any(axis=1), last, 0))
        return lengths


def _features(batch: Batch, side: str) -> list[str]:
    return [
        name for name, value in batch.items() if name.startswith(side + "_") and value.ndim == 2
    ]
