# SPDX-License-Identifier: Apache-2.0
"""Rows of unequal length, grouped into batches of few shapes.

Rows are sorted by length and cut into batches of one size; each batch is as wide as the smallest
bucket that holds its longest row. So there are `ceil(n / batch_size)` batches, of at most as many
shapes as there are buckets, and as many again for rows that come alone. Knows numbers only, no
tokens.

Shapes: `n` rows, `B` batch, `T` width.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class LengthBatch:
    """Which rows go together.

    Attributes:
      rows: `[B]`, indices of the rows; behind `size` the first one again.
      size: How many of them count. Fewer than `B` in the last batch only: padding it keeps its
        shape one that is compiled already. A row that comes alone, as a person types it, is not
        padded: it would wait for `B` times its work.
      width: The bucket.
    """

    rows: np.ndarray
    size: int
    width: int


def usable_buckets(length_buckets: Sequence[int], max_length: int) -> tuple[int, ...]:
    """The buckets below a largest length, and that length itself as the last.

    Raises:
      ValueError: A bucket or `max_length` is not positive.
    """
    if max_length < 1 or any(bucket < 1 for bucket in length_buckets):
        raise ValueError(
            f"length buckets are {tuple(length_buckets)} and the largest length is {max_length}; "
            "all of them must be positive; set `length_buckets` and `inputs_length`"
        )
    return (*sorted({b for b in length_buckets if b < max_length}), max_length)


def plan(lengths: np.ndarray, batch_size: int, buckets: Sequence[int]) -> list[LengthBatch]:
    """Groups rows into batches, shortest first.

    Args:
      lengths: `[n]`, none above the last bucket.
      batch_size: `B`, where there are several rows.
      buckets: Ascending widths, from `usable_buckets`.
    """
    order = np.argsort(lengths, kind="stable")
    batch_size = 1 if len(order) == 1 else batch_size
    batches = []
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        width = buckets[np.searchsorted(buckets, lengths[rows[-1]])]
        padding = np.full(batch_size - len(rows), rows[0])
        batches.append(LengthBatch(np.concatenate([rows, padding]), len(rows), width))
    return batches
