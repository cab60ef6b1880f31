# SPDX-License-Identifier: Apache-2.0
"""Span corruption and prefixes against T5's definitions, written here step by step in NumPy."""

import collections
import itertools

import numpy as np
from absl.testing import absltest, parameterized

from data_ops.features import features_module

_SENTINEL = 999


def _rows(sizes):
    """Rows of distinct ids from 1000 on."""
    splits = np.cumsum([0, *sizes]).astype(np.int64)
    return np.arange(1000, 1000 + splits[-1], dtype=np.int32), splits


def _list(rows):
    values, splits = rows
    return [values[a:b].tolist() for a, b in itertools.pairwise(splits)]


def _t5_mask(length, kept, noise):
    """T5's random_spans_noise_mask from where it has drawn the lengths of its spans."""
    interleaved = np.stack([kept, noise], axis=1).reshape(-1)
    starts = np.cumsum(interleaved)[:-1]
    indicator = np.zeros(max(length, 2), int)
    np.add.at(indicator, starts, 1)
    return (np.cumsum(indicator) % 2 == 1)[:length]


def _t5_spans_to_sentinels(tokens, mask):
    """T5's noise_span_to_unique_sentinel."""
    before = np.concatenate([[False], mask[:-1]])
    first = mask & ~before
    sentinels = _SENTINEL + 1 - np.cumsum(first)
    return np.where(first, sentinels, tokens)[~(mask & before)].tolist()


def _t5_counts(length, density, mean):
    length = max(length, 2)
    noise = int(np.round(np.float32(length) * np.float32(density)))
    noise = min(max(noise, 1), length - 1)
    return noise, max(int(np.round(np.float32(noise) / np.float32(mean))), 1)


def _t5_lengths(inputs_length, density, mean):
    """T5's random_spans_helper."""

    def lengths(tokens):
        noise = round(tokens * density)
        spans = round(noise / mean)
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = inputs_length - 1
    while lengths(tokens + 1)[0] <= inputs_length:
        tokens += 1
    inputs_length, targets_length = lengths(tokens)
    if density == 0.5 and targets_length > inputs_length:
        return tokens - 1, targets_length - 1
    return tokens, targets_length


class DefinitionTest(parameterized.TestCase):
    @parameterized.product(density=[0.15, 0.3, 0.5], mean=[3.0, 1.5, 10.0])
    def test_corruption_is_t5s_given_the_same_draws(self, density, mean):
        sizes = [*range(2, 60), 511, 512]
        values, splits = _rows(sizes)
        options = {"noise_density": density, "mean_noise_span_length": mean}
        inputs, targets = features_module.corrupt_spans(
            values, splits, seed=11, first_sentinel=_SENTINEL, first_row=5, **options
        )
        for i, length in enumerate(sizes):
            kept, noise = features_module.draw_spans(length, seed=11, row=5 + i, **options)
            noise_tokens, spans = _t5_counts(length, density, mean)
            self.assertEqual((sum(noise), len(noise)), (noise_tokens, spans))
            self.assertEqual((sum(kept), len(kept)), (length - noise_tokens, spans))
            tokens = values[splits[i] : splits[i + 1]]
            mask = _t5_mask(length, kept, noise)
            self.assertEqual(_list(inputs)[i], _t5_spans_to_sentinels(tokens, mask))
            self.assertEqual(_list(targets)[i], _t5_spans_to_sentinels(tokens, ~mask))

    def test_one_token(self):
        inputs, targets = features_module.corrupt_spans(
            *_rows([1]), seed=1, first_sentinel=_SENTINEL
        )
        mask = np.array([False])
        self.assertEqual(_list(inputs), [_t5_spans_to_sentinels(np.array([1000]), mask)])
        self.assertEqual(_list(targets), [_t5_spans_to_sentinels(np.array([1000]), ~mask)])

    @parameterized.product(
        inputs_length=[2, 3, 64, 512, 1024], density=[0.1, 0.15, 0.5], mean=[1.0, 3.0, 8.0]
    )
    def test_lengths(self, inputs_length, density, mean):
        self.assertEqual(
            features_module.span_corruption_lengths(inputs_length, density, mean),
            _t5_lengths(inputs_length, density, mean),
        )


class DistributionTest(absltest.TestCase):
    def test_every_mask_is_equally_likely(self):
        # 9 tokens, 4 of noise in 2 spans: 3 divisions of the noise, 4 of the rest.
        kept = {(i, 5 - i) for i in range(1, 5)}
        noise = {(i, 4 - i) for i in range(1, 4)}
        seen = collections.Counter()
        for row in range(12_000):
            draw = features_module.draw_spans(
                9, seed=2, row=row, noise_density=0.4, mean_noise_span_length=2
            )
            seen[tuple(map(tuple, draw))] += 1
        self.assertEqual(set(seen), set(itertools.product(kept, noise)))
        chi_squared = sum((count - 1000) ** 2 / 1000 for count in seen.values())
        # 11 degrees of freedom: above 31.3 once in a thousand seeds.
        self.assertLess(chi_squared, 31.3)

    def test_noise_is_where_t5s_is(self):
        length, rows = 64, 4000
        noise_tokens, spans = _t5_counts(length, 0.15, 3.0)
        rng = np.random.default_rng(0)

        def t5_parts(total):
            """T5's random_segmentation."""
            starts = np.concatenate([[0], rng.permutation(np.arange(total - 1) < spans - 1)])
            return np.bincount(np.cumsum(starts.astype(int)))

        theirs = sum(
            _t5_mask(length, t5_parts(length - noise_tokens), t5_parts(noise_tokens))
            for _ in range(rows)
        )
        ours = sum(
            _t5_mask(length, *features_module.draw_spans(length, seed=3, row=row))
            for row in range(rows)
        )
        # Standard errors of the difference of two frequencies, position by position.
        share = (ours + theirs) / (2 * rows)
        error = np.sqrt(2 * share * (1 - share) / rows)
        difference = np.abs(ours - theirs) / rows
        np.testing.assert_array_less(difference, 4.5 * error + 1e-9)

    def test_prefixes(self):
        inputs, targets = features_module.split_prefixes(*_rows([10] * 9000), seed=4)
        counts = collections.Counter(len(row) for row in _list(inputs))
        self.assertEqual(set(counts), set(range(1, 10)))
        chi_squared = sum((count - 1000) ** 2 / 1000 for count in counts.values())
        # 8 degrees of freedom: above 26.1 once in a thousand seeds.
        self.assertLess(chi_squared, 26.1)
        whole = [a + b for a, b in zip(_list(inputs), _list(targets), strict=True)]
        self.assertEqual(whole, _list(_rows([10] * 9000)))


class SeedTest(absltest.TestCase):
    def test_batches_and_restarts_do_not_matter(self):
        values, splits = _rows([40] * 100)
        for make in (
            lambda *rows, **options: features_module.corrupt_spans(
                *rows, first_sentinel=_SENTINEL, **options
            ),
            features_module.split_prefixes,
        ):
            whole = _list(make(values, splits, seed=1)[0])
            rest = make(values[400:], splits[10:] - 400, seed=1, first_row=10)
            self.assertEqual(_list(rest[0]), whole[10:])
            self.assertNotEqual(_list(make(values, splits, seed=2)[0]), whole)


class ErrorTest(absltest.TestCase):
    def test_options(self):
        rows = _rows([100])
        corrupt = features_module.corrupt_spans
        with self.assertRaisesRegex(ValueError, "noise_density is 1.0*; it must be above 0"):
            corrupt(*rows, seed=1, first_sentinel=9, noise_density=1.0)
        with self.assertRaisesRegex(ValueError, "mean_noise_span_length is 0.5.* at least 1"):
            corrupt(*rows, seed=1, first_sentinel=9, mean_noise_span_length=0.5)
        with self.assertRaisesRegex(ValueError, "row 0 has 5 spans .* down from 3; split"):
            corrupt(*rows, seed=1, first_sentinel=3)
        with self.assertRaisesRegex(ValueError, "inputs_length is 1; it must be at least 2"):
            features_module.span_corruption_lengths(1)


if __name__ == "__main__":
    absltest.main()
