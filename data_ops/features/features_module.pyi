# SPDX-License-Identifier: Apache-2.0
"""From rows of ids to the arrays that a model takes; features_module.cc has the docstrings."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy import typing as npt

Ids: TypeAlias = npt.NDArray[np.int32]
Splits: TypeAlias = npt.NDArray[np.int64]
Rows: TypeAlias = tuple[Ids, Splits]

def pad_rows(
    values: Ids, row_splits: Splits, length: int, pad: int = 0, eos: int | None = 1
) -> Ids: ...
def pad_chosen_rows(
    values: Ids,
    row_splits: Splits,
    rows: Splits,
    length: int,
    pad: int = 0,
    eos: int | None = 1,
) -> Ids: ...
def decoder_features(targets: Ids) -> tuple[Ids, Ids]: ...
def length_buckets(lengths: Splits, widths: Sequence[int]) -> Ids: ...
def split_rows(values: Ids, row_splits: Splits, max_size: int) -> Splits: ...
def take_rows(values: Ids, row_splits: Splits, rows: Splits) -> Rows: ...
def corrupt_spans(
    values: Ids,
    row_splits: Splits,
    *,
    seed: int,
    first_sentinel: int,
    noise_density: float = 0.15,
    mean_noise_span_length: float = 3.0,
    first_row: int = 0,
) -> tuple[Rows, Rows]: ...
def split_prefixes(
    values: Ids, row_splits: Splits, *, seed: int, first_row: int = 0
) -> tuple[Rows, Rows]: ...
def span_corruption_lengths(
    inputs_length: int, noise_density: float = 0.15, mean_noise_span_length: float = 3.0
) -> tuple[int, int]: ...
def draw_spans(
    length: int,
    *,
    seed: int,
    row: int,
    noise_density: float = 0.15,
    mean_noise_span_length: float = 3.0,
) -> tuple[list[int], list[int]]: ...
