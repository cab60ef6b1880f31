# SPDX-License-Identifier: Apache-2.0
"""Token-level preprocessors: sentinels in front, BART's noises, prefix language modelling.

Each takes a dataset of examples with int32 `targets` [n] (and perhaps `inputs`) and SeqIO's
`output_features` and `sequence_length`. Sentinels count down from the last id of the vocabulary,
`<extra_id_0>`. The distributions are T5's; its random streams are not reproduced.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

Features = Mapping[str, seqio.Feature]
Lengths = Mapping[str, int]
# (length, seed [2]) -> bool [length], True where a token is noise.
NoiseMask = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Longer documents are cut at a random place, so that one cannot flood the shuffle buffer.
MAX_DOCUMENT_TOKENS = 65536


def add_sentinel_to_beginning(
    dataset: tf.data.Dataset, output_features: Features, field: str = "targets", offset: int = 0
) -> tf.data.Dataset:
    """Puts `<extra_id_{offset}>` in front of the tokens of `field`."""
    sentinel = output_features[field].vocabulary.vocab_size - 1 - offset

    @seqio.map_over_dataset
    def add(example):
        tokens = example[field]
        return {**example, field: tf.concat([tf.constant([sentinel], tokens.dtype), tokens], 0)}

    return add(dataset)


def add_sentinel_to_targets(dataset: tf.data.Dataset, output_features: Features) -> tf.data.Dataset:
    """Puts `<extra_id_0>` in front of the targets, where span corruption has it."""
    return add_sentinel_to_beginning(dataset, output_features, "targets", 0)


def token_deletion(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: Features,
    noise_density: float = 0.15,
) -> tf.data.Dataset:
    """BART's token deletion: inputs lack random tokens, targets are the whole text."""
    return _denoise(
        dataset,
        sequence_length,
        output_features,
        functools.partial(iid_noise_mask, noise_density=noise_density),
        lambda tokens, mask, vocabulary: tf.boolean_mask(tokens, ~mask),
    )


def text_infilling(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: Features,
    noise_density: float = 0.15,
    mean_noise_span_length: float = 3,
) -> tf.data.Dataset:
    """BART's text infilling, with a sentinel of its own for each span; targets the whole text."""
    mask = functools.partial(
        random_spans_noise_mask,
        noise_density=noise_density,
        mean_noise_span_length=mean_noise_span_length,
    )
    return _denoise(dataset, sequence_length, output_features, mask, _spans_to_sentinels)


def prefix_lm(
    dataset: tf.data.Dataset, sequence_length: Lengths, output_features: Features
) -> tf.data.Dataset:
    """Inputs are a prefix of random length, targets the rest."""
    return _denoise(
        dataset,
        sequence_length,
        output_features,
        random_prefix_mask,
        lambda tokens, mask, vocabulary: tf.boolean_mask(tokens, mask),
        lambda tokens, mask: tf.boolean_mask(tokens, ~mask),
    )


def iid_noise_mask(length: tf.Tensor, seed: tf.Tensor, noise_density: float) -> tf.Tensor:
    """Each token is noise with probability `noise_density`."""
    return tf.random.stateless_uniform([length], seed) < noise_density


def random_prefix_mask(length: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """The first 1 to `length` - 1 tokens, each number equally likely."""
    end = tf.random.stateless_uniform([], seed, 1, tf.maximum(length, 2), tf.int32)
    return tf.range(length) < end


def random_spans_noise_mask(
    length: tf.Tensor, seed: tf.Tensor, noise_density: float, mean_noise_span_length: float
) -> tf.Tensor:
    """Alternating spans, the first one not noise (T5 paper, section 3.3.4).

    The numbers of noise tokens and of spans are fixed by `length`; how they are divided is random,
    every division being equally likely.
    """
    length = tf.cast(length, tf.int32)
    whole = tf.maximum(length, 2)
    as_float = tf.cast(whole, tf.float32)
    noise = tf.clip_by_value(tf.cast(tf.round(as_float * noise_density), tf.int32), 1, whole - 1)
    spans = tf.round(tf.cast(noise, tf.float32) / mean_noise_span_length)
    # There cannot be more spans than tokens of either kind.
    spans = tf.minimum(tf.maximum(tf.cast(spans, tf.int32), 1), whole - noise)
    seeds = tf.random.split(seed)
    lengths = [_random_parts(whole - noise, spans, seeds[0]), _random_parts(noise, spans, seeds[1])]
    lengths = tf.reshape(tf.stack(lengths, axis=1), [-1])
    is_noise = tf.repeat(tf.range(2 * spans) % 2 == 1, lengths)
    return is_noise[:length]


def _random_parts(total: tf.Tensor, parts: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """int32 [parts] of at least 1 that sum to `total`, uniformly among all such."""
    starts = tf.cast(tf.range(total - 1) < parts - 1, tf.int32)
    starts = tf.random.experimental.stateless_shuffle(starts, seed)
    part_of_token = tf.cumsum(tf.pad(starts, [[1, 0]]))
    return tf.math.segment_sum(tf.ones_like(part_of_token), part_of_token)


def _spans_to_sentinels(tokens: tf.Tensor, mask: tf.Tensor, vocabulary: Any) -> tf.Tensor:
    before = tf.pad(mask[:-1], [[1, 0]])
    first = tf.logical_and(mask, ~before)
    sentinels = vocabulary.vocab_size - tf.cumsum(tf.cast(first, tokens.dtype))
    return tf.boolean_mask(tf.where(first, sentinels, tokens), ~tf.logical_and(mask, before))


def _denoise(
    dataset: tf.data.Dataset,
    sequence_length: Lengths,
    output_features: Features,
    noise_mask: NoiseMask,
    inputs_fn: Callable[[tf.Tensor, tf.Tensor, Any], tf.Tensor],
    targets_fn: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = lambda tokens, mask: tokens,
) -> tf.data.Dataset:
    """Pieces of the targets that fit the inputs, each with a mask of its own."""
    vocabulary = output_features["inputs"].vocabulary
    width = sequence_length["inputs"] - int(output_features["inputs"].add_eos)

    @seqio.map_over_dataset(num_seeds=1)
    def chunk(example, seed):
        tokens = example["targets"]
        chunks = tf.maximum(1, -(-tf.size(tokens) // MAX_DOCUMENT_TOKENS))
        start = tf.random.stateless_uniform([], seed, 0, chunks, tf.int32) * MAX_DOCUMENT_TOKENS
        return {"targets": tokens[start : start + MAX_DOCUMENT_TOKENS]}

    def pieces(example):
        tokens = example["targets"]
        starts = tf.range(0, tf.size(tokens), width)
        return tf.data.Dataset.from_tensor_slices(starts).map(
            lambda start: {"targets": tokens[start : start + width]}
        )

    @seqio.map_over_dataset(num_seeds=1)
    def noise(example, seed):
        tokens = example["targets"]
        mask = noise_mask(tf.size(tokens), seed)
        return {
            "inputs": inputs_fn(tokens, mask, vocabulary),
            "targets": targets_fn(tokens, mask),
        }

    return noise(chunk(dataset).flat_map(pieces))


def random_targets(
    dataset: tf.data.Dataset,
    output_features: Features,
    targets: Sequence[str],
    probs: Sequence[float] | None = None,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Replaces the targets by one of `targets`, drawn anew for each example.

    Args:
      dataset: any.
      output_features: has the vocabulary of the targets.
      targets: texts.
      probs: of the texts; the last may be left out; default: all equal.
      seed: of the draws; default: SeqIO's.

    Raises:
      ValueError: the probabilities do not fit the targets or do not sum to 1.
    """
    vocabulary = output_features["targets"].vocabulary
    rows = tf.ragged.constant([vocabulary.encode(text) for text in targets], dtype=tf.int32)
    logits = tf.math.log([_probabilities(targets, probs)])

    @seqio.map_over_dataset(num_seeds=1)
    def draw(example, seed):
        index = tf.random.stateless_categorical(logits, 1, seed)[0, 0]
        return {**example, "targets": rows[index]}

    if seed is None:
        return draw(dataset)
    with seqio.utils.map_seed_manager(initial_seed=seed):
        return draw(dataset)


def _probabilities(targets: Sequence[str], probs: Sequence[float] | None) -> list[float]:
    if probs is None:
        return [1 / len(targets)] * len(targets)
    probs = list(probs)
    if len(probs) == len(targets) - 1:
        probs.append(1 - math.fsum(probs))
    if len(probs) != len(targets):
        raise ValueError(
            f"random_targets got {len(probs)} probabilities for {len(targets)} targets; give one "
            "for each, or for all but the last."
        )
    if not all(0 < p <= 1 for p in probs) or not math.isclose(math.fsum(probs), 1):
        raise ValueError(
            f"random_targets got the probabilities {probs}; each must be above 0 and at most 1 "
            "(leave out a target instead of giving it 0), and they must sum to 1."
        )
    return probs
