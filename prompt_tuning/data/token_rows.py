# SPDX-License-Identifier: Apache-2.0
"""Token rows of unequal length, and the model features of a batch of them.

The arithmetic of SeqIO's `append_eos_after_trim` and `EncDecFeatureConverter(pack=False)` done on
whole batches, value for value. Knows no task, no file and no TensorFlow.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_ops.features import features_module

PAD_ID = 0

TASK_FEATURES = ("inputs", "targets")
MODEL_FEATURES = (
    "encoder_input_tokens",
    "decoder_input_tokens",
    "decoder_target_tokens",
    "decoder_loss_weights",
)

# Widths that batches may have, by task feature. A program is compiled for each that is met.
LENGTH_BUCKETS: Mapping[str, tuple[int, ...]] = {
    "inputs": (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
    "targets": (4, 8, 16, 32, 64, 128, 256, 512),
}

Batch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class TokenRows:
    """n rows of tokens, stored without padding.

    Attributes:
      values: int32 [total tokens].
      row_splits: int64 [n + 1]; row i is values[row_splits[i]:row_splits[i + 1]].
    """

    values: np.ndarray
    row_splits: np.ndarray

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    def padded(self, rows: np.ndarray, max_length: int, eos_id: int | None = None) -> np.ndarray:
        """Rows as int32 [len(rows), longest], padded with 0, never wider than `max_length`.

        With `eos_id` a row is cut to max_length - 1 and EOS follows it, else it is cut to
        max_length, at least 1: what SeqIO does to a feature with `add_eos` and to one without. An
        index of -1 gives a row of padding alone.
        """
        lengths = self.row_splits[rows + 1] - self.row_splits[rows] + (eos_id is not None)
        longest = int(np.where(rows >= 0, lengths, 0).max(initial=0))
        if longest == 0:
            return np.zeros((len(rows), 0), np.int32)
        width = min(longest, max_length)
        return features_module.pad_chosen_rows(
            self.values, self.row_splits, rows, width, PAD_ID, eos_id
        )


def join(parts: list[TokenRows]) -> TokenRows:
    """All rows of `parts`, which is emptied: never more than one part is in memory twice."""
    row_splits = np.zeros(1 + sum(map(len, parts)), np.int64)
    values = np.empty(sum(len(part.values) for part in parts), np.int32)
    parts.reverse()
    row, at = 0, 0
    while parts:
        part = parts.pop()
        row_splits[row + 1 : row + 1 + len(part)] = part.row_splits[1:] + at
        values[at : at + len(part.values)] = part.values
        row, at = row + len(part), at + len(part.values)
    return TokenRows(values, row_splits)


def model_features(inputs: np.ndarray, targets: np.ndarray) -> Batch:
    """Model features of padded tokens, as SeqIO's encoder-decoder converter without packing.

    Args:
      inputs: int32 [B, T].
      targets: int32 [B, L].

    Returns:
      encoder_input_tokens [B, T], decoder_target_tokens [B, L], decoder_input_tokens [B, L] (the
      targets one position later, after BOS) and decoder_loss_weights [B, L] (1 where the target is
      not padding); all int32.
    """
    decoder_inputs, weights = features_module.decoder_features(targets)
    return {
        "encoder_input_tokens": inputs,
        "decoder_input_tokens": decoder_inputs,
        "decoder_target_tokens": targets,
        "decoder_loss_weights": weights,
    }


def geometric_buckets(length: int, smallest: int = 16) -> tuple[int, ...]:
    """Widths smallest, 2 smallest, ... below `length`, then `length`: one compilation for each.

    >>> geometric_buckets(100)
    (16, 32, 64, 100)
    """
    widths = []
    while smallest < length:
        widths.append(smallest)
        smallest *= 2
    return (*widths, length)


def bucket_width(longest: int, length: int, buckets: Sequence[int] | None) -> int:
    """The smallest of `buckets` that holds `longest` tokens; `length` if none does or is given."""
    fitting = [width for width in buckets or () if longest <= width <= length]
    return min(fitting, default=length)


def used_width(tokens: np.ndarray) -> int:
    """How many columns are left when those with padding alone are cut from the end."""
    used = np.flatnonzero((tokens != PAD_ID).any(axis=0))
    return int(used[-1]) + 1 if used.size else 0


def to_width(tokens: np.ndarray, width: int) -> np.ndarray:
    """Cuts or pads int32 [B, w] to [B, width]."""
    if tokens.shape[1] >= width:
        return tokens[:, :width]
    padded = np.full((len(tokens), width), PAD_ID, tokens.dtype)
    padded[:, : tokens.shape[1]] = tokens
    return padded


def bucketed_features(
    inputs: np.ndarray,
    targets: np.ndarray,
    lengths: Mapping[str, int],
    buckets: Mapping[str, Sequence[int]] | None = None,
) -> Batch:
    """`model_features` of tokens brought to the width of their bucket.

    Only columns in which every row is padding are cut, so the loss and its gradient stay the same.

    Args:
      inputs: int32 [B, t] with t at most lengths["inputs"].
      targets: int32 [B, l] with l at most lengths["targets"].
      lengths: full widths for "inputs" and "targets".
      buckets: widths to choose from, by feature; a feature without them has its full width.
    """
    widths = {}
    for name, tokens in (("inputs", inputs), ("targets", targets)):
        ladder = (buckets or {}).get(name)
        longest = used_width(tokens) if ladder else lengths[name]
        widths[name] = bucket_width(longest, lengths[name], ladder)
    return model_features(to_width(inputs, widths["inputs"]), to_width(targets, widths["targets"]))
