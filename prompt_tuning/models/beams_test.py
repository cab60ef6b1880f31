# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.models import beams, toy_decoder

jax.config.update("jax_numpy_rank_promotion", "raise")


def _search(model, inputs, **settings):
    def run(inputs):
        cache = model.cache(inputs.shape[0])
        return beams.beam_search(inputs, cache, model.tokens_to_logits, toy_decoder.EOS, **settings)

    return jax.tree.map(np.asarray, jax.jit(run)(inputs))


def _empty(batch, length):
    return jnp.zeros((batch, length), jnp.int32)


def _strip(tokens):
    tokens = list(map(int, tokens))
    end = tokens.index(toy_decoder.EOS) + 1 if toy_decoder.EOS in tokens else len(tokens)
    return tuple(tokens[:end])


def _reference(model, length, beams, alpha):
    """`(score, tokens)` of the first example, ascending."""

    def penalty(n):
        return ((5 + n) / 6) ** alpha

    live, finished = [(0.0, ())], []
    for step in range(1, length + 1):
        candidates = [
            (score + log_prob, (*tokens, token))
            for score, tokens in live
            for token, log_prob in enumerate(model.log_probs(0, tokens))
        ]
        candidates = sorted(candidates, reverse=True)[: 2 * beams]
        ended = [(s / penalty(step), t) for s, t in candidates if t[-1] == toy_decoder.EOS]
        finished = sorted(finished + ended, reverse=True)[:beams]
        live = [(s, t) for s, t in candidates if t[-1] != toy_decoder.EOS][:beams]
        if len(finished) == beams and finished[-1][0] > live[0][0] / penalty(length + 1):
            break
    return sorted(finished or live)


class BeamSearchTest(parameterized.TestCase):
    @parameterized.parameters(0.0, 0.6, 1.5)
    def test_with_enough_beams_it_finds_the_best_of_all_sequences(self, alpha):
        model, length = toy_decoder.ToyDecoder(vocabulary=4), 3
        sequences = model.ended_sequences(length)
        tokens, scores = _search(model, _empty(2, length), num_decodes=13, alpha=alpha)
        self.assertEqual(tokens.shape, (2, 13, length))
        for example in range(2):
            penalized = {
                s: model.score(example, s) / ((5 + len(s)) / 6) ** alpha for s in sequences
            }
            best = sorted(penalized, key=penalized.get)[-5:]
            self.assertEqual([_strip(t) for t in tokens[example, -5:]], best)
            np.testing.assert_allclose(
                scores[example, -5:], [penalized[s] for s in best], rtol=1e-4, atol=1e-5
            )

    @parameterized.product(beams=(1, 2, 4), seed=(0, 1, 2))
    def test_against_a_search_in_plain_python(self, beams, seed):
        model = toy_decoder.ToyDecoder(vocabulary=6, seed=seed)
        expected = _reference(model, length=6, beams=beams, alpha=0.6)
        tokens, scores = _search(model, _empty(1, 6), num_decodes=beams)
        found = [(_strip(t), s) for t, s in zip(tokens[0], scores[0], strict=True) if s > -1e6]
        self.assertEqual([s for s, _ in found], [s for _, s in expected])
        np.testing.assert_allclose([s for _, s in found], [s for s, _ in expected], rtol=1e-4)

    def test_scores_ascend_and_belong_to_their_sequences(self):
        model = toy_decoder.ToyDecoder(vocabulary=9, seed=1)
        tokens, scores = _search(model, _empty(3, 6), num_decodes=4)
        self.assertTrue((np.diff(scores, axis=1) >= 0).all())
        for example in range(3):
            for sequence, score in zip(tokens[example], scores[example], strict=True):
                if score <= -1e6:
                    continue
                sequence = _strip(sequence)
                expected = model.score(example, sequence)
                if sequence[-1] == toy_decoder.EOS:
                    expected /= ((5 + len(sequence)) / 6) ** 0.6
                self.assertAlmostEqual(float(score), expected, places=4)

    def test_forced_tokens_come_first_and_cost_nothing(self):
        model = toy_decoder.ToyDecoder(vocabulary=6, seed=2)
        inputs = jnp.array([[0, 4, 3, 0, 0], [0, 0, 0, 0, 0]])
        tokens, scores = _search(model, inputs, num_decodes=2)
        best = _strip(tokens[0, -1])
        self.assertEqual(best[:2], (4, 3))
        cost = model.score(0, best) - model.score(0, best[:2])
        if best[-1] == toy_decoder.EOS:
            cost /= ((5 + len(best)) / 6) ** 0.6
        self.assertAlmostEqual(float(scores[0, -1]), cost, places=4)
        free, _ = _search(model, _empty(2, 5), num_decodes=2)
        np.testing.assert_array_equal(tokens[1], free[1])

    def test_without_an_end_the_live_hypotheses_are_returned_unscaled(self):
        model = toy_decoder.ToyDecoder(vocabulary=5, seed=4)
        model.table[:, toy_decoder.EOS] = -100
        tokens, scores = _search(model, _empty(1, 3), num_decodes=2)
        self.assertNotIn(toy_decoder.EOS, tokens)
        for sequence, score in zip(tokens[0], scores[0], strict=True):
            self.assertAlmostEqual(float(score), model.score(0, list(sequence)), places=4)

    def test_empty_slots_are_zeros(self):
        model = toy_decoder.ToyDecoder(vocabulary=5)
        model.table[:, toy_decoder.EOS] = 100
        tokens, scores = _search(model, _empty(1, 1), num_decodes=3)
        np.testing.assert_array_equal(tokens[0], [[0], [0], [toy_decoder.EOS]])
        np.testing.assert_array_equal(scores[0, :2], [-1e7, -1e7])

    def test_limits(self):
        model = toy_decoder.ToyDecoder(vocabulary=5, seed=4)
        model.table[:, toy_decoder.EOS] = -100
        tokens, _ = _search(model, _empty(1, 6), num_decodes=2, max_decode_len=4)
        self.assertEqual(tokens.shape, (1, 2, 4))
        tokens, _ = _search(model, _empty(1, 6), num_decodes=2, max_decode_step=2)
        np.testing.assert_array_equal(tokens[..., 2:], 0)
        self.assertTrue((tokens[..., 0] > 0).any() or (tokens[..., 1] > 0).any())
        tokens, _ = _search(model, _empty(1, 6), num_decodes=2, min_log_prob=1.0)
        np.testing.assert_array_equal(tokens, 0)

    @parameterized.parameters(0, 7)
    def test_a_length_that_does_not_fit(self, length):
        with self.assertRaisesRegex(ValueError, f"max_decode_len is {length}"):
            _search(toy_decoder.ToyDecoder(), _empty(1, 6), max_decode_len=length)


if __name__ == "__main__":
    absltest.main()
