# SPDX-License-Identifier: Apache-2.0
import functools
import json

import numpy as np
import seqio
from absl.testing import absltest
from sklearn import metrics as sklearn_metrics

from prompt_tuning.data import metrics


class MetricsTest(absltest.TestCase):
    def test_accuracy_is_in_percent(self):
        self.assertEqual(metrics.accuracy([1, 0, 2, "a"], [1, 1, 2, "b"]), {"accuracy": 50.0})
        with self.assertRaises(ValueError):
            metrics.accuracy([1], [1, 2])

    def test_seqio_sees_which_output_accuracy_needs(self):
        objects = seqio.metrics.PassthroughLegacyMetric.from_metric_fn(metrics.accuracy)
        kind = objects.empty().model_output_type
        self.assertEqual(kind, seqio.metrics.ModelOutputType.PREDICTION)

    def test_labels_beyond_the_known_are_wrong(self):
        self.assertAlmostEqual(
            metrics.f1_score_with_invalid([1, 1, 0, 0], [1, -1, 0, -1])["f1"], 50.0
        )
        predictions = np.array([-1, 1])
        metrics.f1_score_with_invalid([1, 1], predictions)
        self.assertEqual(predictions.tolist(), [-1, 1])
        self.assertEqual(metrics.f1_score_with_invalid([0, 0], [0, 0]), {"f1": 0.0})
        self.assertEqual(metrics.mean_3class_f1([0, 1, 2], [0, 1, 2]), {"mean_3class_f1": 100.0})
        self.assertAlmostEqual(
            metrics.mean_3class_f1([0, 1, 2, 2], [0, 1, -1, -1])["mean_3class_f1"], 200 / 3
        )

    def test_correlations(self):
        # Two right of each class: the determinant of the table over the root of its margins.
        got = metrics.matthews_corrcoef([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 1])
        self.assertAlmostEqual(got["matthews_corrcoef"], 100 * (2 * 2 - 1) / 9)
        self.assertEqual(metrics.matthews_corrcoef([1, 0], [1, 1]), {"matthews_corrcoef": 0.0})
        targets, predictions = [0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 4.0, 9.0]
        spearman = metrics.spearman_corrcoef(targets, predictions)
        self.assertAlmostEqual(spearman["spearman_corrcoef"], 100.0)
        expected = 100 * np.corrcoef(targets, predictions)[0, 1]
        pearson = metrics.pearson_corrcoef(targets, predictions)
        self.assertAlmostEqual(pearson["pearson_corrcoef"], expected)

    def test_ranking(self):
        random = np.random.default_rng(0)
        ids = random.integers(0, 2, 200)
        # Rounded so that there are ties.
        scores = np.round(random.normal(size=(200, 2)) + 0.5 * np.eye(2)[ids], 1)
        got = metrics.rank_classification(ids, scores)
        expected = sklearn_metrics.roc_auc_score(ids, scores[:, 1] - scores[:, 0])
        self.assertAlmostEqual(got["rank_auc"], expected, places=12)
        right = scores[np.arange(200), ids] > scores[np.arange(200), 1 - ids]
        ties = scores[:, 0] == scores[:, 1]
        self.assertAlmostEqual(got["rank_accuracy"], 100 * (right | (ties & (ids == 0))).mean())

    def test_auc_does_not_depend_on_a_preferred_label(self):
        ids = np.array([0, 0, 1, 1])
        scores = np.array([[0, 5.0], [0, 6], [0, 7], [0, 8]])
        got = metrics.rank_classification(ids, scores)
        self.assertEqual(got, {"rank_accuracy": 50.0, "rank_auc": 1.0})

    def test_auc_is_left_out_where_it_says_nothing(self):
        ids = np.array([1, 1, -1, 0])
        got = metrics.rank_classification(ids, np.eye(3)[[1, 0, 1, 2]])
        self.assertEqual(got, {"rank_accuracy": 25.0})
        self.assertNotIn("rank_auc", metrics.rank_classification(ids[:3], np.ones((3, 2))))

    def test_metric_with_examples(self):
        with_examples = functools.partial(metrics.metric_with_examples, metrics.accuracy)
        got = with_examples([1, 0], [{"prediction": 1}, {"prediction": 1}])
        self.assertEqual(got, {"accuracy": 50.0})

    def test_safe_sample(self):
        self.assertEqual(metrics.safe_sample(-1, "abc"), [0, 1, 2])
        self.assertEqual(metrics.safe_sample(5, "abc"), [0, 1, 2])
        sample = metrics.safe_sample(5, range(100), seed=1)
        self.assertLen(set(sample), 5)
        self.assertEqual(sample, metrics.safe_sample(5, range(100), seed=1))

    def test_text_examples(self):
        predictions = [
            {
                "inputs_pretokenized": f"in {i}".encode(),
                "targets_pretokenized": "yes",
                "prediction_pretokenized": f"out {i}",
                "prediction": i % 2,
            }
            for i in range(4)
        ]
        got = metrics.text_examples([1] * 4, predictions, "task", num_examples=-1)
        self.assertEqual(
            got["task negative samples"].textdata,
            "example: in 0\ntarget: yes\nprediction: out 0\n\n"
            "example: in 2\ntarget: yes\nprediction: out 2",
        )
        self.assertEqual(got["task samples"].textdata.count("example: "), 4)
        few = metrics.text_examples([1] * 4, predictions, "t", num_examples=2, find_negative=False)
        self.assertEqual(list(few), ["t samples"])
        self.assertEqual(few["t samples"].textdata.count("example: "), 2)

    def test_format_qa(self):
        example = {
            "context": b"It rained.",
            "question": "What?",
            "answers": [b"rain", b"a shower", b"rain"],
            "prediction_pretokenized": "snow",
        }
        lines = "question: What?\nanswers: a shower; rain\nprediction: snow"
        self.assertEqual(metrics.format_qa([0], [example]), f"context: It rained.\n{lines}")
        two = metrics.format_qa([1, 0], [example] * 2, context_field=None)
        self.assertEqual(two, f"{lines}\n\n{lines}")

    def test_label_set_stats(self):
        predictions = [
            {"targets_pretokenized": target, "prediction_pretokenized": prediction}
            for target, prediction in ((b"a", "a"), (b"b", "c"), (b"a", "a"), (b"a", "d"))
        ]
        got = metrics.label_set_stats([], predictions, "task")
        self.assertEqual(
            got["task label stats"].textdata,
            "target label set cardinality: 2\n\nprediction label set cardinality: 3\n\n"
            "target \u2229 prediction cardinality: 1\n\ntarget - prediction cardinality: 1\n\n"
            "prediction - target cardinality: 2",
        )
        shares = json.loads(got["task label distributions"].textdata.strip("`"))
        self.assertEqual(shares["target label distribution"], {"a": 0.75, "b": 0.25})
        counted = metrics.label_set_stats([], predictions, "t", display_sets=True, normalize=False)
        shares = json.loads(counted["t label distributions"].textdata.strip("`"))
        self.assertEqual(shares["prediction label distribution"], {"a": 2, "c": 1, "d": 1})
        lines = counted["t label stats"].textdata.split("\n\n")
        self.assertEqual(lines[-1], "prediction - target: ['c', 'd']")
        self.assertLen(lines, 10)


if __name__ == "__main__":
    absltest.main()
