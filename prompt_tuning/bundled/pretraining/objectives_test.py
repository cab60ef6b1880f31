# SPDX-License-Identifier: Apache-2.0
import functools

import hypothesis
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from prompt_tuning.bundled.pretraining import objectives

FIRST_SENTINEL = 1279
FULL_STOP = 3


def _generator(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _tokens(n: int) -> np.ndarray:
    return np.arange(100, 100 + n, dtype=np.int32)


def _merge(inputs: np.ndarray, targets: np.ndarray) -> list[int]:
    """The original tokens: each sentinel of the inputs replaced by its span."""
    spans, current = {}, None
    for token in targets[:-1].tolist():
        if token > FIRST_SENTINEL - 100:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    merged = []
    for token in inputs[:-1].tolist():
        merged.extend(spans.pop(token) if token in spans else [token])
    assert not spans
    return merged


class SpanCorruptionTest(parameterized.TestCase):
    @hypothesis.given(n=st.integers(2, 60), seed=st.integers(0, 2**32 - 1))
    @hypothesis.settings(max_examples=150, deadline=None)
    def test_inputs_and_targets_hold_the_text_once(self, n, seed):
        inputs, targets = objectives.span_corruption(_tokens(n), _generator(seed), FIRST_SENTINEL)
        self.assertEqual(_merge(inputs, targets), _tokens(n).tolist())
        self.assertEqual(inputs[-1], objectives.EOS_ID)
        self.assertEqual(targets[-1], objectives.EOS_ID)
        self.assertEqual(targets[0], FIRST_SENTINEL)
        self.assertEqual((inputs.dtype, targets.dtype), (np.int32, np.int32))

    def test_amount_of_noise(self):
        inputs, targets = objectives.span_corruption(
            _tokens(20), _generator(), FIRST_SENTINEL, noise_density=0.3, mean_span=2.0
        )
        # 6 of 20 tokens in 3 spans.
        self.assertLen(inputs, 14 + 3 + 1)
        self.assertLen(targets, 6 + 3 + 1)
        self.assertSequenceEqual(
            [t for t in inputs if t > 1000],
            [FIRST_SENTINEL, FIRST_SENTINEL - 1, FIRST_SENTINEL - 2],
        )

    def test_every_token_but_the_first_can_be_noise(self):
        seen = set()
        for seed in range(200):
            _, targets = objectives.span_corruption(_tokens(20), _generator(seed), FIRST_SENTINEL)
            seen.update(t for t in targets.tolist() if 100 <= t < 200)
        self.assertEqual(seen, set(range(101, 120)))


class PrefixLanguageModelTest(parameterized.TestCase):
    @hypothesis.given(n=st.integers(2, 60), seed=st.integers(0, 2**32 - 1))
    @hypothesis.settings(max_examples=150, deadline=None)
    def test_the_parts_are_the_text(self, n, seed):
        inputs, targets = objectives.prefix_language_model(_tokens(n), _generator(seed), FULL_STOP)
        self.assertSequenceEqual(
            np.concatenate([inputs, targets[:-1]]).tolist(), _tokens(n).tolist()
        )
        self.assertEqual(targets[-1], objectives.EOS_ID)
        self.assertBetween(len(inputs), max(n // 4, 1), n - 1)

    def test_half_of_the_cuts_end_a_sentence(self):
        tokens = _tokens(30)
        tokens[[9, 29]] = FULL_STOP
        cuts = [
            len(objectives.prefix_language_model(tokens, _generator(seed), FULL_STOP)[0])
            for seed in range(400)
        ]
        self.assertBetween(cuts.count(10) / len(cuts), 0.45, 0.62)
        self.assertEqual((min(cuts), max(cuts)), (7, 29))


class BatchTest(parameterized.TestCase):
    def test_arrays_of_a_batch(self):
        examples = [(np.array([5, 6], np.int32), np.array([7, 1], np.int32))]
        batch = objectives.to_batch(examples, objectives.Lengths(4, 3))
        expected = {
            "encoder_input_tokens": [[5, 6, 0, 0]],
            "decoder_input_tokens": [[0, 7, 1]],
            "decoder_target_tokens": [[7, 1, 0]],
            "decoder_loss_weights": [[1, 1, 0]],
        }
        self.assertEqual({name: array.tolist() for name, array in batch.items()}, expected)
        self.assertEqual({array.dtype for array in batch.values()}, {np.dtype(np.int32)})

    def test_long_targets_are_cut_and_long_inputs_refused(self):
        long, short = _tokens(5), _tokens(2)
        batch = objectives.to_batch([(short, long)], objectives.Lengths(4, 3))
        self.assertEqual(batch["decoder_target_tokens"].tolist(), [[100, 101, 102]])
        with self.assertRaisesRegex(ValueError, "5 tokens; at most 4 fit"):
            objectives.to_batch([(long, short)], objectives.Lengths(4, 3))

    def test_batches_use_every_sequence_once_in_order(self):
        sequences = [np.array([i, i], np.int32) for i in range(1, 9)]
        split = functools.partial(
            objectives.prefix_language_model, generator=_generator(), full_stop=FULL_STOP
        )
        found = list(objectives.batches(sequences, split, 3, objectives.Lengths(4, 4)))
        firsts = [batch["encoder_input_tokens"][:, 0].tolist() for batch in found]
        self.assertEqual(firsts, [[1, 2, 3], [4, 5, 6]])

    def test_the_same_generator_gives_the_same_batches(self):
        def run():
            split = functools.partial(
                objectives.span_corruption, generator=_generator(3), first_sentinel=FIRST_SENTINEL
            )
            return list(objectives.batches([_tokens(20)] * 4, split, 2, objectives.Lengths()))

        for first, second in zip(run(), run(), strict=True):
            for name, array in first.items():
                np.testing.assert_array_equal(array, second[name])


if __name__ == "__main__":
    absltest.main()
