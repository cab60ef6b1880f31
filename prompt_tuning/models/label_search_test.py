# SPDX-License-Identifier: Apache-2.0
import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.models import label_search, models, network, toy_decoder

jax.config.update("jax_numpy_rank_promotion", "raise")

VOCABULARY, BATCH, C, L = 6, 2, 7, 4
LABELS = st.sets(
    st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=L).map(tuple),
    min_size=C,
    max_size=C,
)
CONFIG = network.T5Config(
    vocab_size=VOCABULARY,
    emb_dim=8,
    num_heads=2,
    head_dim=4,
    mlp_dim=16,
    num_encoder_layers=1,
    num_decoder_layers=1,
    dtype="float32",
)
INPUTS = np.array([[5, 2, 3, 1], [4, 1, 0, 0]], np.int32)


def padded(labels):
    return np.array([(*label, *[0] * (L - len(label))) for label in labels], np.int32)


@functools.partial(jax.jit, static_argnums=1)
def search_toy(table, beams, tree):
    toy = toy_decoder.ToyDecoder(VOCABULARY)
    toy.table = table
    return label_search.search(toy.cache(BATCH), toy.tokens_to_logits, tree, BATCH, beams)


def brute_force(toy, labels):
    """Log-probability of every label for every example, `[B, C]`, one by one."""
    return np.array([[toy.score(b, label) for label in labels] for b in range(BATCH)])


class LabelTreeTest(absltest.TestCase):
    def test_nodes_are_first_labels_of_their_prefix(self):
        tree = label_search.label_tree([[4, 5], [3, 5], [4, 0], [3, 2]])
        np.testing.assert_array_equal(tree.nodes, [[0, 0, 0], [0, 1, 1], [0, 0, 2], [0, 1, 3]])

    def test_equal_labels(self):
        with self.assertRaisesRegex(ValueError, "labels 0 and 2 have the same tokens"):
            label_search.label_tree([[4, 0], [3, 5], [4, 0]])

    def test_no_labels(self):
        with self.assertRaisesRegex(ValueError, r"\(0, 3\)"):
            label_search.label_tree(np.zeros((0, 3)))


class SearchTest(parameterized.TestCase):
    @settings(max_examples=60, deadline=None)
    @given(labels=LABELS, seed=st.integers(0, 1000))
    def test_as_many_beams_as_labels_give_the_whole_ranking(self, labels, seed):
        labels, toy = sorted(labels), toy_decoder.ToyDecoder(VOCABULARY, seed)
        nodes, scores, proven = search_toy(toy.table, C, label_search.label_tree(padded(labels)))
        expected = brute_force(toy, labels)
        np.testing.assert_allclose(scores, -np.sort(-expected, axis=1), rtol=1e-5, atol=1e-4)
        chosen = np.take_along_axis(expected, np.asarray(nodes), axis=1)
        np.testing.assert_allclose(scores, chosen, rtol=1e-5, atol=1e-4)
        self.assertTrue(np.all(proven))

    @settings(max_examples=100, deadline=None)
    @given(labels=LABELS, seed=st.integers(0, 1000), beams=st.sampled_from([1, 2, 3]))
    def test_what_is_proven_is_the_best(self, labels, seed, beams):
        labels, toy = sorted(labels), toy_decoder.ToyDecoder(VOCABULARY, seed)
        tree = label_search.label_tree(padded(labels))
        nodes, scores, proven = search_toy(toy.table, beams, tree)
        expected = brute_force(toy, labels)
        chosen = np.take_along_axis(expected, np.asarray(nodes)[:, :1], axis=1)[:, 0]
        np.testing.assert_allclose(scores[:, 0], chosen, rtol=1e-5, atol=1e-4)
        best = np.max(expected, axis=1)
        np.testing.assert_allclose(chosen[proven], best[proven], rtol=1e-5, atol=1e-4)

    def test_one_beam_can_be_wrong_and_then_says_so(self):
        """The likelier first token leads to the less likely label."""
        found = False
        for seed in range(50):
            toy = toy_decoder.ToyDecoder(VOCABULARY, seed)
            first = toy.log_probs(0, [])
            labels = [(2, 3), (4, 5)]
            expected = [toy.score(0, label) for label in labels]
            if (first[2] > first[4]) != (expected[0] > expected[1]):
                tree = label_search.label_tree(padded(labels))
                nodes, _, proven = search_toy(toy.table, 1, tree)
                self.assertNotEqual(int(nodes[0, 0]), int(np.argmax(expected)))
                self.assertFalse(proven[0])
                found = True
        self.assertTrue(found)

    def test_stops_when_every_live_label_is_whole(self):
        toy = toy_decoder.ToyDecoder(VOCABULARY)
        steps = []

        def counting(state):
            jax.debug.callback(lambda: steps.append(1))
            return toy.tokens_to_logits(state)

        tree = label_search.label_tree(padded([(2,), (3,), (4,)]))
        jax.block_until_ready(
            jax.jit(lambda: label_search.search(toy.cache(BATCH), counting, tree, BATCH, 2))()
        )
        jax.effects_barrier()
        self.assertLen(steps, 1)


class BestLabelsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = models.EncoderDecoderModel(network.Transformer(CONFIG), None, None, None)
        shapes = {"encoder_input_tokens": (1, 2), "decoder_input_tokens": (1, 2)}
        variables = cls.model.get_initial_variables(jax.random.key(0), shapes)
        # Larger weights than an untrained network's: the labels should differ.
        cls.params = jax.tree.map(lambda x: 2 * x, variables["params"])
        cls.best = staticmethod(
            jax.jit(functools.partial(label_search.best_labels, cls.model), static_argnums=3)
        )
        cls.scores = staticmethod(jax.jit(cls.model.label_scores))

    @settings(max_examples=30, deadline=None)
    @given(labels=LABELS, beams=st.sampled_from([1, 3]), seed=st.integers(0, 100))
    def test_is_what_scoring_every_label_finds(self, labels, beams, seed):
        tokens = padded(sorted(labels))
        inputs = np.random.RandomState(seed).randint(1, VOCABULARY, size=INPUTS.shape)
        inputs = jnp.asarray(inputs * (INPUTS > 0), jnp.int32)
        tree = label_search.label_tree(tokens)
        chosen, scores = self.best(self.params, inputs, tree, beams)
        every = self.scores(self.params, inputs, jnp.asarray(tokens))
        np.testing.assert_allclose(scores, jnp.max(every, axis=1), rtol=1e-5, atol=1e-4)
        picked = np.take_along_axis(np.asarray(every), np.asarray(chosen)[:, None], axis=1)
        np.testing.assert_allclose(picked[:, 0], scores, rtol=1e-5, atol=1e-4)

    def test_other_labels_of_the_same_shape_are_the_same_program(self):
        traces = []

        @jax.jit
        def best(tokens, tree):
            traces.append(1)
            return label_search.best_labels(self.model, self.params, tokens, tree)

        for labels in ([(2, 3), (4, 1)], [(3,), (5, 5)]):
            best(jnp.asarray(INPUTS), label_search.label_tree(padded(labels)))
        self.assertLen(traces, 1)


if __name__ == "__main__":
    absltest.main()
