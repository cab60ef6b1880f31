# SPDX-License-Identifier: Apache-2.0
"""The searches against brute force over every sequence of a tiny vocabulary, for any model."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest
from hypothesis import strategies

from prompt_tuning.models import decoding, toy_decoder

jax.config.update("jax_numpy_rank_promotion", "raise")

VOCABULARY, LENGTH, BATCH = 4, 3, 2
# Beams that keep every sequence of LENGTH tokens: 1 + 2 + 4 end in time, and 8 do not.
ENOUGH = 15


def _run(search, table, **arguments):
    """One compiled program for every table: it is an argument."""
    model = toy_decoder.ToyDecoder(VOCABULARY)
    model.table = table
    return search(
        jnp.zeros((BATCH, LENGTH), jnp.int32),
        model.cache(BATCH),
        model.tokens_to_logits,
        toy_decoder.EOS,
        **arguments,
    )


_BEAMS = jax.jit(functools.partial(_run, decoding.beam_search, num_decodes=ENOUGH))
_GREEDY = jax.jit(
    functools.partial(_run, decoding.temperature_sample, temperature=0.0, rescale_log_probs=False)
)


def _written(tokens):
    """Without the padding behind EOS."""
    tokens = tokens.tolist()
    end = tokens.index(toy_decoder.EOS) + 1 if toy_decoder.EOS in tokens else LENGTH
    return tuple(tokens[:end])


class BruteForceTest(absltest.TestCase):
    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(
        seed=strategies.integers(0, 2**32 - 1),
        alpha=strategies.floats(0.0, 2.0),
        sharpness=strategies.sampled_from([0.1, 1.0, 3.0]),
    )
    def test_beam_search_finds_the_best_of_all_sequences(self, seed, alpha, sharpness):
        model = toy_decoder.ToyDecoder(VOCABULARY, seed)
        model.table[:, 1:] *= sharpness
        tokens, scores = map(np.asarray, _BEAMS(model.table, alpha=np.float32(alpha)))
        every = model.ended_sequences(LENGTH)
        for example in range(BATCH):
            expected = {s: model.score(example, s) / ((5 + len(s)) / 6) ** alpha for s in every}
            best = max(expected, key=expected.get)
            found = _written(tokens[example, -1])
            # Two sequences may be equally good to float32.
            self.assertAlmostEqual(expected[found], expected[best], delta=1e-4)
            self.assertAlmostEqual(float(scores[example, -1]), expected[best], delta=1e-4)

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(seed=strategies.integers(0, 2**32 - 1))
    def test_greedy_takes_the_likeliest_token_each_time(self, seed):
        model = toy_decoder.ToyDecoder(VOCABULARY, seed)
        tokens, scores = map(np.asarray, _GREEDY(model.table))
        for example in range(BATCH):
            expected: list[int] = []
            while len(expected) < LENGTH and toy_decoder.EOS not in expected:
                expected.append(int(np.argmax(model.log_probs(example, expected))))
            self.assertEqual(_written(tokens[example, 0]), tuple(expected))
            self.assertAlmostEqual(
                float(scores[example, 0]), model.score(example, expected), delta=1e-4
            )


if __name__ == "__main__":
    absltest.main()
