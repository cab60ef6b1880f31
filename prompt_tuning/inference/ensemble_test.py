# SPDX-License-Identifier: Apache-2.0
import jax
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.inference import ensemble, prompt_bank, requests, toy_predictor

jax.config.update("jax_numpy_rank_promotion", "raise")

Prediction = requests.Prediction
PROMPTS = ["a", "b", "c"]
LABELS = ["yes", "no", "maybe"]


class MajorityTest(parameterized.TestCase):
    @parameterized.parameters(
        ([("x", -1), ("y", -5), ("y", -3)], ("y", -4)),
        ([("x", -1), ("y", -2)], ("x", -1)),
        ([("y", -2), ("x", -1)], ("x", -1)),
        ([("x", -1), ("x", -9), ("y", -4), ("y", -5), ("z", 0)], ("y", -4.5)),
    )
    def test_most_votes_then_best_mean_score(self, predictions, expected):
        got = ensemble.majority([Prediction(*p) for p in predictions])
        self.assertEqual(got, Prediction(*expected))


class EnsembleTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        bank = prompt_bank.PromptBank(toy_predictor.H, max_length=4)
        for name, value in zip(PROMPTS, toy_predictor.make_prompts([4, 2, 3]), strict=True):
            bank.add(name, 3 * value)
        cls.made = toy_predictor.make_predictor(
            prompts=bank, report_bad_rows=True, length_buckets=()
        )
        cls.texts = toy_predictor.make_texts([4, 9, 1, 20])

    def rows(self, name):
        return [requests.Request(text, name) for text in self.texts]

    def test_scores_are_the_mean_of_the_members(self):
        members = [self.made.score_labels(self.rows(name), LABELS) for name in PROMPTS]
        joined = list(ensemble.score_labels_stream(self.made, self.texts, LABELS, PROMPTS))
        np.testing.assert_allclose(joined, np.mean(members, axis=0), atol=1e-4)

    def test_answers_are_the_members_majority(self):
        members = zip(*(self.made.predict(self.rows(name)) for name in PROMPTS), strict=True)
        joined = list(ensemble.predict_stream(self.made, self.texts, PROMPTS))
        for answer, votes in zip(joined, members, strict=True):
            expected = ensemble.majority(votes)
            self.assertEqual(answer.text, expected.text)
            self.assertAlmostEqual(answer.score, expected.score, places=3)

    def test_one_row_is_one_batch(self):
        batches = []
        pick = prompt_bank.PromptTable.pick

        def spy(table, slots):
            batches.append(sorted(slots[:3].tolist()))
            return pick(table, slots)

        with absltest.mock.patch.object(prompt_bank.PromptTable, "pick", spy):
            next(ensemble.predict_stream(self.made, self.texts[:1], PROMPTS))
        self.assertEqual(batches, [[0, 1, 2]])

    def test_a_bad_row_is_one_error(self):
        answers = list(ensemble.predict_stream(self.made, ["", "word"], PROMPTS))
        self.assertEqual(answers[0].kind, requests.EMPTY)
        self.assertIsInstance(answers[1], Prediction)

    def test_prompts_are_checked_at_the_call(self):
        for prompts in ([], ["a", "a"]):
            with self.assertRaisesRegex(ValueError, "at least one, and each once"):
                ensemble.predict_stream(self.made, iter([]), prompts)


if __name__ == "__main__":
    absltest.main()
