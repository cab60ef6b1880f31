# SPDX-License-Identifier: Apache-2.0
import sys
import types
from unittest import mock

from absl.testing import absltest, parameterized

from prompt_tuning.data import answer_metrics


class AnswerMetricsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("The  Cat's hat!", "cats hat"), ("a an the", ""), ("An-the", "anthe"), ("U.S.", "us"),
        ("caf\u00e9 the", "caf\u00e9"),
    )  # fmt: skip
    def test_normalization(self, text, expected):
        self.assertEqual(answer_metrics.normalize_squad(text), expected)

    @parameterized.parameters(
        # Answers, prediction, exact match, F1.
        (["the red fox"], "Red Fox.", 100, 100),
        (["red fox", "a grey wolf"], "grey wolf cub", 0, 80),
        (["red fox"], "dog", 0, 0),
        (["red red fox"], "red", 0, 50),
        (["the"], "", 100, 0),
        (["fox"], "", 0, 0),
    )
    def test_squad(self, answers, prediction, exact, f1):
        got = answer_metrics.squad([answers], [prediction])
        self.assertAlmostEqual(got["em"], exact)
        self.assertAlmostEqual(got["f1"], f1)

    def test_squad_is_a_mean(self):
        got = answer_metrics.squad([["a fox"], ["wolf"]], ["fox", "dog"])
        self.assertEqual(got, {"em": 50.0, "f1": 50.0})

    def test_record_counts_each_query_once(self):
        targets = [
            {"value": ["Ann", "Bob"], "group": (0, 0)},
            {"value": ["Ann", "Bob"], "group": (0, 0)},
            {"value": ["Carl"], "group": (0, 1)},
        ]
        predictions = [{"value": answer} for answer in ("Ann", "nobody", "Dora")]
        got = answer_metrics.record_squad(targets, predictions)
        self.assertEqual(got, {"em": 50.0, "f1": 50.0})

    def test_multirc(self):
        targets = [
            {"value": value, "group": group}
            for value, group in ((1, "q"), (0, "q"), (1, "r"), (0, "s"))
        ]
        predictions = [{"value": value} for value in (1, 0, -1, 0)]
        f1 = answer_metrics.multirc_f1_over_all_answers(targets, predictions)
        self.assertAlmostEqual(f1["f1"], 100 * 2 / 3)
        exact = answer_metrics.multirc_exact_match(targets, predictions)
        self.assertAlmostEqual(exact["exact_match"], 100 * 2 / 3)

    def test_rouge_is_missing(self):
        with mock.patch.dict(sys.modules, {"rouge_score": None}):
            with self.assertRaisesRegex(ImportError, "install rouge-score.*--task"):
                answer_metrics.rouge(["a"], ["a"])

    def test_rouge_gets_sentences_as_lines_and_gives_the_middle(self):
        seen = []

        class Scorer:
            def __init__(self, keys):
                self.keys = keys

            def score(self, target, prediction):
                seen.append((target, prediction))
                return dict.fromkeys(self.keys, 0.25)

        class Aggregator:
            def __init__(self):
                self.scores = []

            def add_scores(self, scores):
                self.scores.append(scores)

            def aggregate(self):
                middle = {k: types.SimpleNamespace(fmeasure=v) for k, v in self.scores[0].items()}
                return {k: types.SimpleNamespace(mid=v) for k, v in middle.items()}

        package = types.SimpleNamespace(
            rouge_scorer=types.SimpleNamespace(RougeScorer=Scorer),
            scoring=types.SimpleNamespace(BootstrapAggregator=Aggregator),
        )
        with mock.patch.dict(sys.modules, {"rouge_score": package}):
            got = answer_metrics.rouge(["a . b"], ["c . d"])
        self.assertEqual(got, dict.fromkeys(("rouge1", "rouge2", "rougeLsum"), 25.0))
        self.assertEqual(seen, [("a .\nb", "c .\nd")])


if __name__ == "__main__":
    absltest.main()
