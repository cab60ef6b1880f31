# SPDX-License-Identifier: Apache-2.0
"""Pre-training examples: token sequences to (inputs, targets), then to batches of the trainer.

Two objectives, as for the T5 1.1 models of the prompt tuning paper (Lester et al. 2021, section
3.1): span corruption (Raffel et al. 2020, section 3.1.4), then prefix language modelling, which
makes the model continue its input. Nothing is packed: a review is one example. This module knows no
text and no model.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Batch = dict[str, np.ndarray]
Example = tuple[np.ndarray, np.ndarray]

PAD_ID = 0
EOS_ID = 1


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Positions of the padded arrays; longer targets are cut, inputs must fit."""

    inputs: int = 32
    targets: int = 24


def _segments(total: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` positive lengths with sum `total`, every such composition equally likely."""
    cuts = np.sort(generator.permutation(total - 1)[: count - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def span_corruption(
    tokens: np.ndarray,
    generator: np.random.Generator,
    first_sentinel: int,
    noise_density: float = 0.3,
    mean_span: float = 2.0,
) -> Example:
    """Replaces random spans by sentinels; the targets are the spans, each after its sentinel.

    Args:
      tokens: int32 [n], n >= 2, without EOS.
      generator: source of the spans.
      first_sentinel: id of `<extra_id_0>`; the sentinels after it have descending ids.
      noise_density: share of the tokens to replace.
      mean_span: mean number of tokens in a span.

    Returns:
      Inputs and targets, int32 [*], both ending in EOS.
    """
    n = len(tokens)
    noise = min(max(round(n * noise_density), 1), n - 1)
    spans = min(max(round(noise / mean_span), 1), n - noise)
    kept = _segments(n - noise, spans, generator)
    dropped = _segments(noise, spans, generator)
    ends = np.cumsum(np.stack([kept, dropped], axis=1).ravel())
    inputs: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    for i, part in enumerate(np.split(tokens, ends[:-1])):
        (targets if i % 2 else inputs).append(part)
        if i % 2 == 0:
            sentinel = np.array([first_sentinel - i // 2], np.int32)
            # The sentinel closes the kept part in the inputs and opens the dropped one in the
            # targets.
            inputs.append(sentinel)
            targets.append(sentinel)
    eos = np.array([EOS_ID], np.int32)
    return np.concatenate([*inputs, eos]), np.concatenate([*targets, eos])


def prefix_language_model(
    tokens: np.ndarray, generator: np.random.Generator, full_stop: int
) -> Example:
    """Cuts the tokens in two: inputs, without EOS, and targets, with EOS.

    Half of the cuts are at the end of a sentence, where a prompted model will be asked for its
    answer; the others are uniform over [n // 4, n).

    Args:
      tokens: int32 [n], n >= 2, without EOS.
      generator: source of the cut.
      full_stop: id of the token that ends a sentence.
    """
    n = len(tokens)
    at_sentence = generator.random() < 0.5
    ends = np.flatnonzero(tokens[:-1] == full_stop) + 1
    if at_sentence and len(ends):
        cut = int(ends[generator.integers(len(ends))])
    else:
        cut = int(generator.integers(max(n // 4, 1), n))
    return tokens[:cut], np.append(tokens[cut:], np.int32(EOS_ID))


def pad(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Rows as int32 [len(rows), length], cut or padded at the end."""
    padded = np.full((len(rows), length), PAD_ID, np.int32)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values[:length]
    return padded


def to_batch(examples: Sequence[Example], lengths: Lengths) -> Batch:
    """The four int32 arrays of a batch: the encoder's [B, T], the three of the decoder [B, L].

    Raises:
      ValueError: an input does not fit.
    """
    longest = max(len(inputs) for inputs, _ in examples)
    if longest > lengths.inputs:
        raise ValueError(
            f"An input has {longest} tokens; at most {lengths.inputs} fit. "
            "Raise Lengths.inputs or lower the max_tokens of the reviews."
        )
    targets = pad([targets for _, targets in examples], lengths.targets)
    return {
        "encoder_input_tokens": pad([inputs for inputs, _ in examples], lengths.inputs),
        "decoder_input_tokens": np.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=PAD_ID),
        "decoder_target_tokens": targets,
        "decoder_loss_weights": (targets != PAD_ID).astype(np.int32),
    }


def batches(
    sequences: Sequence[np.ndarray],
    objective: Callable[[np.ndarray], Example],
    batch_size: int,
    lengths: Lengths,
) -> Iterator[Batch]:
    """Batches of the sequences in order, each used once; a last, smaller batch is left out."""
    for start in range(0, len(sequences) - batch_size + 1, batch_size):
        yield to_batch(
            [objective(tokens) for tokens in sequences[start : start + batch_size]], lengths
        )
