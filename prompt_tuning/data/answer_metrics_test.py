# SPDX-License-Identifier: Apache-2.0
import sys
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.data import answer_metrics


class AnswerMetricsTest(parameterized.TestCase):
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

    @parameterized.parameters(
        # Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.1: of 4
        # words the first candidate has 3 in order, the second 2, and both 1 pair of 3.
        ("police killed the gunman", "police kill the gunman", 75, 100 / 3, 75),
        ("police killed the gunman", "the gunman kill police", 75, 100 / 3, 50),
        # Section 3.2: two sentences have 4 of 5 words in order between them; 4 of their 10 words.
        # By hand: w1, w2, w3, w5 shared as words; of pairs only w1 w2, of 4 and 9.
        ("w1 w2 w3 w4 w5", "w1 w2 w6 w7 w8 . w1 w3 w8 w9 w5", 160 / 3, 200 / 13, 160 / 3),
        # By hand: the same sentences in another order. As one sentence half of it were in order.
        ("c d . a b", "a b . c d", 100, 200 / 3, 100),
        # By hand: case and punctuation do not count, endings do.
        ("The cats, sleeping.", "the CATS sleep", 200 / 3, 50, 200 / 3),
        ("a b", "c d", 0, 0, 0),
        ("a b", "", 0, 0, 0),
    )
    def test_rouge(self, target, prediction, rouge1, rouge2, rouge_lsum):
        got = answer_metrics.rouge([target], [prediction])
        self.assertEqual(tuple(got), answer_metrics.ROUGE_KEYS)
        for value, expected in zip(got.values(), (rouge1, rouge2, rouge_lsum), strict=True):
            self.assertAlmostEqual(value, expected, places=9)

    def test_rouge_is_the_same_again_and_draws_from_no_stream_of_others(self):
        rows = ["a b", "a b c", "d"] * 7, ["a b", "a c", "e"] * 7
        np.random.seed(3)
        expected = np.random.random(2).tolist()
        np.random.seed(3)
        first = answer_metrics.rouge(*rows)
        drawn = [np.random.random()]
        self.assertEqual(answer_metrics.rouge(*rows), first)
        self.assertEqual([*drawn, np.random.random()], expected)

    def test_rouge_of_several_is_the_middle_of_the_bootstrap(self):
        # Half of the draws of two rows have each row once.
        got = answer_metrics.rouge(["a b", "a b"], ["a b", "c d"])
        self.assertEqual(got, dict.fromkeys(answer_metrics.ROUGE_KEYS, 50.0))
        only = answer_metrics.rouge(["a b c"], ["a c b"], score_keys=("rougeL",))
        self.assertAlmostEqual(only["rougeL"], 200 / 3)


if __name__ == "__main__":
    absltest.main()
