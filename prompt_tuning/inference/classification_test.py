# SPDX-License-Identifier: Apache-2.0
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.inference import classification


class LabelIndicesTest(absltest.TestCase):
    def test_positions(self):
        indices = classification.label_indices(["no", "yes", "no"], ["yes", "no"])
        np.testing.assert_array_equal(indices, [1, 0, 1])

    def test_unknown_label(self):
        with self.assertRaisesRegex(ValueError, "example 1 .*'negativ'.*'negative'.*CLASS_LABELS"):
            classification.label_indices(["positive", "negativ"], ["positive", "negative"])


class RankMetricsTest(parameterized.TestCase):
    def test_accuracy_and_confusion(self):
        scores = np.array([[-1, -2, -3], [-3, -1, -2], [-1, -2, -3], [-3, -2, -1]])
        metrics = classification.rank_metrics(scores, np.array([0, 1, 1, 2]))
        self.assertEqual(metrics.num_examples, 4)
        self.assertEqual(metrics.accuracy, 0.75)
        self.assertIsNone(metrics.auc)
        np.testing.assert_array_equal(metrics.confusion, [[1, 0, 0], [1, 1, 0], [0, 0, 1]])

    def test_auc_is_not_moved_by_a_prior(self):
        random = np.random.RandomState(0)
        targets = random.randint(2, size=200)
        margin = targets + random.normal(size=200)
        # A prior that always prefers the first label.
        scores = np.stack([np.full(200, 9.0), margin], axis=1).astype(np.float32)
        metrics = classification.rank_metrics(scores, targets)
        self.assertAlmostEqual(metrics.accuracy, np.mean(targets == 0))
        pairs = margin[targets == 1][:, None] > margin[targets == 0][None, :]
        self.assertAlmostEqual(metrics.auc, pairs.mean(), places=6)

    @parameterized.parameters(([0, 0], 1.0), ([1, 1], 0.0))
    def test_auc_needs_examples_of_both_labels(self, targets, accuracy):
        metrics = classification.rank_metrics(np.array([[0.0, -1], [0, -2]]), np.array(targets))
        self.assertIsNone(metrics.auc)
        self.assertEqual(metrics.accuracy, accuracy)
        self.assertEqual(metrics.confusion.shape, (2, 2))

    @parameterized.parameters(
        (np.zeros((2, 2)), [0], "shape"),
        (np.zeros(2), [0, 1], "shape"),
        (np.zeros((0, 2)), [], "at least 1"),
        (np.array([[0, 0], [0, np.nan]]), [0, 1], "example 1"),
        (np.zeros((2, 2)), [0, 2], "from 0 to 1"),
        (np.zeros((2, 2)), [-1, 0], "from 0 to 1"),
    )
    def test_arguments_that_do_not_fit(self, scores, targets, message):
        with self.assertRaisesRegex(ValueError, message):
            classification.rank_metrics(scores, np.array(targets, int))


if __name__ == "__main__":
    absltest.main()
