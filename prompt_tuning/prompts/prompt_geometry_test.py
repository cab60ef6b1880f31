# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_tuning.prompts import prompt_geometry


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


class MeasureTest(parameterized.TestCase):
    def test_example(self):
        prompt = np.array([[3.0, 4.0], [0.0, 2.0]])
        embedding = np.array([[1.0, 0.0], [0.0, 0.5], [-1.0, 0.0], [0.0, 0.0]])
        initial = np.array([[0.0, 4.0], [0.0, -1.0]])
        got = prompt_geometry.measure(prompt, embedding, 2, initial)
        np.testing.assert_allclose(got.norms, [5, 2])
        np.testing.assert_array_equal(got.neighbours[0], [1, 0])
        self.assertEqual(got.neighbours[1, 0], 1)
        np.testing.assert_allclose(got.likeness, [[0.8, 0.6], [1, 0]])
        np.testing.assert_allclose(got.drift, [3, 3])
        np.testing.assert_allclose(got.kept, [0.8, -1])

    def test_no_initial_value_no_drift(self):
        got = prompt_geometry.measure(np.ones((2, 3)), np.ones((4, 3)), 1)
        self.assertIsNone(got.drift)
        self.assertIsNone(got.kept)

    def test_zero_position_is_like_nothing(self):
        got = prompt_geometry.measure(np.zeros((1, 3)), np.eye(3), 3)
        np.testing.assert_array_equal(got.likeness, [[0, 0, 0]])

    @parameterized.parameters(
        ({"embedding": np.ones((4, 2))}, "--checkpoint_dir"),
        ({"nearest": 5}, "5 neighbours"),
        ({"nearest": 0}, "0 neighbours"),
        ({"initial": np.ones((3, 3))}, r"\(3, 3\).*--initial"),
    )
    def test_what_does_not_fit(self, change, message):
        arguments = {"prompt": np.ones((2, 3)), "embedding": np.ones((4, 3)), "nearest": 1}
        with self.assertRaisesRegex(ValueError, message):
            prompt_geometry.measure(**{**arguments, **change})

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 1000), st.integers(1, 6))
    def test_nearest_rows_are_those_of_a_full_sort(self, seed, nearest):
        random = np.random.default_rng(seed)
        prompt, embedding = random.normal(size=(3, 4)), random.normal(size=(6, 4))
        rows, likeness = prompt_geometry.nearest_rows(prompt, embedding, nearest)
        every = np.array([[cosine(p, e) for e in embedding] for p in prompt])
        np.testing.assert_array_equal(rows, np.argsort(-every, axis=1)[:, :nearest])
        np.testing.assert_allclose(likeness, -np.sort(-every, axis=1)[:, :nearest])


class SimilarityTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(0)
        self.prompts = [random.normal(size=(length, 4)) for length in (3, 5, 1)]

    def test_averages(self):
        got = prompt_geometry.similarity_of_averages(self.prompts)
        for (i, a), (j, b) in itertools.product(enumerate(self.prompts), repeat=2):
            self.assertAlmostEqual(got[i, j], cosine(a.mean(axis=0), b.mean(axis=0)))

    def test_positions(self):
        got = prompt_geometry.similarity_of_positions(self.prompts)
        for (i, a), (j, b) in itertools.product(enumerate(self.prompts), repeat=2):
            pairs = [cosine(x, y) for x, y in itertools.product(a, b)]
            self.assertAlmostEqual(got[i, j], np.mean(pairs))


if __name__ == "__main__":
    absltest.main()
