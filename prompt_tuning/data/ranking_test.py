# SPDX-License-Identifier: Apache-2.0
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized
from sklearn import metrics as sklearn_metrics

from prompt_tuning.data import ranking

_EXAMPLES = {"inputs": ["x", "y"], "targets": ["no", "yes"]}


def _expanded(mode: str) -> list[dict]:
    dataset = tf.data.Dataset.from_tensor_slices(_EXAMPLES)
    return list(ranking.over_labels(("no", "yes"), mode)(dataset).as_numpy_iterator())


def _targets(correct, tokens=1) -> list[ranking.Target]:
    """Targets of examples whose answers are right where the rows of `correct` [n, C] say so."""
    return [
        ((i, j), bool(value), 1.0, tokens)
        for i, row in enumerate(correct)
        for j, value in enumerate(row)
    ]


class RankingTest(parameterized.TestCase):
    def test_an_example_for_each_answer(self):
        got = [(e["idx"].tolist(), e["inputs"], e["targets"], e["is_correct"]) for e in
               _expanded("eval")]  # fmt: skip
        self.assertEqual(
            got,
            [
                ([0, 0], b"x", b"no", True), ([0, 1], b"x", b"yes", False),
                ([1, 0], b"y", b"no", False), ([1, 1], b"y", b"yes", True),
            ],
        )  # fmt: skip

    def test_other_modes(self):
        self.assertEqual([e["targets"] for e in _expanded("train")], [b"no", b"yes"])
        batch = _expanded("fewshot_eval")[1]
        self.assertEqual(batch["inputs"].tolist(), [b"y", b"y"])
        self.assertEqual(batch["is_correct"].tolist(), [False, True])
        with self.assertRaisesRegex(ValueError, "'test'.*'train', 'eval'"):
            _expanded("test")

    def test_entities(self):
        entities = {"entities": ["a", "b", "c"], "answers": ["c", "a"]}
        example = {"inputs": "x", "targets": "a", **entities}
        dataset = ranking.over_entities()(tf.data.Dataset.from_tensors(example))
        got = [(e["targets"], bool(e["is_correct"])) for e in dataset.as_numpy_iterator()]
        self.assertEqual(got, [(b"a", True), (b"b", False), (b"c", True)])

    def test_postprocess(self):
        example = {"idx": np.array([3, 1]), "is_correct": np.True_, "targets": np.arange(4)}
        self.assertEqual(
            ranking.postprocess("", example=example, is_target=True), ((3, 1), True, 1.0, 4)
        )
        self.assertEqual(ranking.postprocess(-2.5, example=example), -2.5)

    def test_postprocess_answer_columns(self):
        example = {
            "is_correct": np.array([False, True]),
            "targets_pretokenized": [b"no", b"yes"],
            "inputs_pretokenized": [b"x", b"x"],
        }

        def postprocess(text, example, is_target=False):
            return text, example["targets_pretokenized"], is_target

        apply = ranking.postprocess_answer_columns
        target = apply("?", postprocess, example=example, is_target=True)
        self.assertEqual((target[0], target[2]), ("yes", True))
        self.assertEqual(apply("maybe", postprocess, example=example), ("maybe", "yes", False))
        self.assertEqual(example["targets_pretokenized"], [b"no", b"yes"])

    def test_two_classes(self):
        random = np.random.default_rng(0)
        labels = random.integers(0, 2, 60)
        scores = random.normal(size=(60, 2)) + 0.7 * np.eye(2)[labels]
        targets, flat = _targets(np.eye(2)[labels]), list(scores.ravel())
        order = random.permutation(120)
        got = ranking.rank_classification(
            [targets[i] for i in order], [flat[i] for i in order], num_classes=2
        )
        chosen, margins = scores.argmax(1), scores[:, 1] - scores[:, 0]
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(labels, chosen),
            "f1": sklearn_metrics.f1_score(labels, chosen),
            "auc-roc": sklearn_metrics.roc_auc_score(labels, margins),
            "auc-pr": sklearn_metrics.average_precision_score(labels, margins),
        }
        self.assertCountEqual(got, expected)
        for name, value in expected.items():
            self.assertAlmostEqual(got[name], 100 * value, places=9)

    def test_three_classes(self):
        correct = np.eye(3)[[0, 1, 2, 0]]
        scores = np.eye(3)[[0, 1, 1, 0]].ravel()
        got = ranking.rank_classification(_targets(correct), list(scores), num_classes=3)
        self.assertEqual(got["accuracy"], 75.0)
        self.assertAlmostEqual(got["mean_3class_f1"], 100 * (1 + 2 / 3 + 0) / 3)

    def test_varying_or_several_answers_give_accuracy_alone(self):
        targets = _targets([[1, 0], [0, 1, 1]])
        got = ranking.rank_classification(targets, [0.0, 1.0, 0.0, 0.0, 2.0])
        self.assertEqual(got, {"accuracy": 50.0})
        several = ranking.rank_classification(_targets([[1, 1], [0, 1]]), [0, 1, 1, 0], 2)
        self.assertEqual(several, {"accuracy": 50.0})
        one_class = ranking.rank_classification(_targets([[0, 1]]), [0, 1], 2)
        self.assertEqual(one_class, {"accuracy": 100.0, "f1": 100.0})

    def test_normalization(self):
        targets = [((0, 0), True, 1.0, 4), ((0, 1), False, 1.0, 1)]
        scores = [-4.0, -2.0]
        self.assertEqual(ranking.rank_classification(targets, scores)["accuracy"], 0.0)
        normed = ranking.rank_classification(targets, scores, normalize_by_target_length=True)
        self.assertEqual(normed["accuracy"], 100.0)
        prefixed = ranking.prefix_metric_names(targets, scores, "p", ranking.rank_classification)
        self.assertEqual(prefixed, {"p_accuracy": 0.0})

    def test_wrong_numbers(self):
        with self.assertRaisesRegex(ValueError, "1 scores for 2 targets"):
            ranking.rank_classification(_targets([[0, 1]]), [0.0])
        with self.assertRaisesRegex(ValueError, "does not have 3 answers"):
            ranking.rank_classification(_targets([[0, 1]]), [0.0, 1.0], num_classes=3)


if __name__ == "__main__":
    absltest.main()
