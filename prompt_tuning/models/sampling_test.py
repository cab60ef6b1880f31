# SPDX-License-Identifier: Apache-2.0

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from prompt_tuning.models import sampling, toy_decoder

jax.config.update("jax_numpy_rank_promotion", "raise")

_EOS = toy_decoder.EOS


def _sample(model, inputs, **settings):
    def run(inputs):
        cache = model.cache(inputs.shape[0])
        return sampling.temperature_sample(inputs, cache, model.tokens_to_logits, _EOS, **settings)

    return jax.tree.map(np.asarray, jax.jit(run)(inputs))


def _empty(batch, length):
    return jnp.zeros((batch, length), jnp.int32)


class MaskTest(parameterized.TestCase):
    def test_topk_keeps_ties(self):
        logits = jnp.array([[1.0, 3.0, 2.0, 2.0], [4.0, 1.0, 2.0, 3.0]])
        kept = sampling.topk_mask(logits, 2) > -1e6
        np.testing.assert_array_equal(kept, [[0, 1, 1, 1], [1, 0, 0, 1]])

    def test_more_than_all_is_all(self):
        logits = jnp.array([[1.0, 3.0]])
        np.testing.assert_array_equal(sampling.topk_mask(logits, 5), logits)

    @hypothesis.settings(deadline=None, max_examples=40)
    @hypothesis.given(seed=st.integers(0, 1000), p=st.floats(0.01, 1.0))
    def test_topp_keeps_the_smallest_set_that_reaches_p(self, seed, p):
        logits = np.random.RandomState(seed).randn(1, 12).astype(np.float32) * 3
        kept = np.asarray(sampling.topp_mask(jnp.asarray(logits), p))[0] > -1e6
        probabilities = np.exp(logits[0] - logits.max()) / np.exp(logits[0] - logits.max()).sum()
        self.assertGreaterEqual(probabilities[kept].sum(), p - 1e-5)
        without_the_last = probabilities[kept].sum() - probabilities[kept].min()
        self.assertLess(without_the_last, p + 1e-5)
        if not kept.all():
            self.assertGreaterEqual(probabilities[kept].min(), probabilities[~kept].max())


class TemperatureSampleTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model = toy_decoder.ToyDecoder(vocabulary=6, seed=3)

    def _greedy(self, example, length, forced=()):
        tokens = list(forced)
        while len(tokens) < length and _EOS not in tokens[len(forced) :]:
            tokens.append(int(self.model.log_probs(example, tokens).argmax()))
        return tokens + [0] * (length - len(tokens))

    @parameterized.parameters({"temperature": 0.0}, {"topk": 1})
    def test_greedy(self, **settings):
        tokens, scores = _sample(self.model, _empty(4, 7), **settings)
        expected = [self._greedy(example, 7) for example in range(4)]
        np.testing.assert_array_equal(tokens[:, 0], expected)
        # All probability is on the chosen token once temperature and topk are counted.
        np.testing.assert_allclose(scores, 0, atol=1e-5)

    def test_scores_of_the_models_own_distribution(self):
        tokens, scores = _sample(
            self.model,
            _empty(3, 5),
            temperature=0.7,
            topk=0,
            num_decodes=2,
            rescale_log_probs=False,
        )
        for example in range(3):
            for sequence, score in zip(tokens[example], scores[example], strict=True):
                sequence = list(sequence)
                end = sequence.index(_EOS) + 1 if _EOS in sequence else len(sequence)
                self.assertAlmostEqual(
                    float(score), self.model.score(example, sequence[:end]), places=4
                )
                np.testing.assert_array_equal(sequence[end:], 0)
        self.assertTrue((np.diff(scores, axis=1) >= 0).all())

    def test_samples_follow_the_distribution(self):
        count = 4000
        tokens, _ = _sample(self.model, _empty(1, 1), temperature=2.0, topk=0, num_decodes=count)
        frequency = np.bincount(tokens.ravel(), minlength=6) / count
        expected = np.exp(self.model.log_probs(0, []) / 2)
        np.testing.assert_allclose(frequency, expected / expected.sum(), atol=0.03)

    def test_the_same_key_gives_the_same_tokens(self):
        sample = functools.partial(_sample, self.model, _empty(2, 8), topk=0, temperature=3.0)
        first, again, other = (sample(decode_rng=jax.random.PRNGKey(k)) for k in (5, 5, 6))
        np.testing.assert_array_equal(first[0], again[0])
        self.assertFalse((first[0] == other[0]).all())

    def test_forced_tokens_are_kept_and_cost_nothing(self):
        inputs = jnp.array([[0, 4, _EOS, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
        tokens, scores = _sample(self.model, inputs, temperature=0.0, rescale_log_probs=False)
        expected = self._greedy(0, 6, (4, _EOS))
        np.testing.assert_array_equal(tokens[0, 0], expected)
        np.testing.assert_array_equal(tokens[1, 0], self._greedy(1, 6))
        ended = [t for t in expected[2:] if t]
        cost = self.model.score(0, [4, _EOS, *ended]) - self.model.score(0, [4, _EOS])
        self.assertAlmostEqual(float(scores[0, 0]), cost, places=4)

    def test_one_temperature_per_example(self):
        tokens, scores = _sample(
            self.model, _empty(3, 8), temperature=jnp.array([0.0, 5.0, 0.0]), topk=0
        )
        np.testing.assert_array_equal(tokens[0, 0], self._greedy(0, 8))
        np.testing.assert_array_equal(tokens[2, 0], self._greedy(2, 8))
        self.assertEqual(float(scores[0, 0]), 0)
        self.assertLess(float(scores[1, 0]), 0)
        both, _ = _sample(self.model, _empty(3, 8), temperature=jnp.full(3, 5.0), topk=0)
        np.testing.assert_array_equal(both[1], tokens[1])

    def test_max_decode_steps_counts_after_the_forced_tokens(self):
        self.model.table[:, _EOS] = -100
        self.model.table[:, 0] = -100
        inputs = jnp.array([[0, 4, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
        tokens, _ = _sample(self.model, inputs, temperature=0.0, max_decode_steps=2)
        np.testing.assert_array_equal((tokens[:, 0] > 0).sum(axis=1), [4, 2])
        tokens, _ = _sample(
            self.model, inputs, temperature=0.0, max_decode_steps=4, max_decode_steps_hard_limit=1
        )
        np.testing.assert_array_equal((tokens[:, 0] > 0).sum(axis=1), [3, 1])

    def test_starting_in_the_middle_writes_behind_the_prefix(self):
        inputs = jnp.array([[0, 4, 3, 0, 0, 0], [0, 2, 5, 3, 2, 0]])
        tokens, _ = _sample(
            self.model, inputs, temperature=0.0, initial_index=jnp.array([2, 4]), num_decodes=2
        )
        np.testing.assert_array_equal(tokens[0, :, :2], [[4, 3]] * 2)
        np.testing.assert_array_equal(tokens[1, :, :4], [[2, 5, 3, 2]] * 2)
        # The first step feeds the last token of the prefix, at the cache's own position.
        first = int(self.model.table[(0 * 31 + 3) % 97].argmax())
        self.assertEqual(int(tokens[0, 0, 2]), first)

    def test_callbacks(self):
        def forbid(logits, state):
            del state
            return logits.at[:, 2:].set(-1e9)

        def record(state):
            return state.replace(log_prob=state.log_prob + 1)

        tokens, scores = _sample(
            self.model,
            _empty(1, 3),
            temperature=0.0,
            logit_callback_fn=forbid,
            state_callback_fn=record,
        )
        self.assertLessEqual(int(tokens.max()), 1)
        # Once before each step and once at the end.
        steps = list(tokens[0, 0]).index(_EOS) + 1 if _EOS in tokens else 3
        self.assertEqual(float(scores[0, 0]), steps + 1)

    @parameterized.parameters(
        ({"topk": 4, "topp": 0.9}, "topk is 4 and topp is 0.9"),
        ({"max_decode_steps": 9}, "max_decode_steps is 9"),
        ({"temperature": np.ones(2)}, r"temperature has shape \(2,\)"),
    )
    def test_settings_that_contradict(self, settings, message):
        with self.assertRaisesRegex(ValueError, message):
            _sample(self.model, _empty(3, 4), **settings)


if __name__ == "__main__":
    absltest.main()
