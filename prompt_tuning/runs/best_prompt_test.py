# SPDX-License-Identifier: Apache-2.0
import json
import os

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import best_step
from prompt_tuning.runs import best_prompt


class BestPromptTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.saved = []

    def make(self, metric="accuracy", patience=None) -> best_prompt.BestPrompt:
        return best_prompt.BestPrompt(self.folder, metric, patience)

    def add(self, best, *values, first=10):
        """Adds evaluations at steps first, first + 10, ...; returns which were the best so far."""
        return [
            best.add(step, {best.metric: value}, lambda step=step: self._save(step))
            for step, value in zip(range(first, first + 10 * len(values), 10), values, strict=True)
        ]

    def _save(self, step):
        self.saved.append(step)
        os.makedirs(os.path.join(self.folder, f"checkpoint_{step}"), exist_ok=True)
        with open(os.path.join(self.folder, f"checkpoint_{step}", "checkpoint"), "w") as file:
            file.write("x")

    def pinned(self) -> list[int]:
        return [
            s for s in range(0, 100, 10) if os.path.exists(f"{self.folder}/checkpoint_{s}/PINNED")
        ]

    @parameterized.parameters(
        ("accuracy", (0.5, 0.7, 0.7, 0.6), [True, True, False, False], (20, 0.7)),
        ("loss", (3.0, 2.0, 2.5, 1.0), [True, True, False, True], (40, 1.0)),
        ("rouge1", (float("nan"), 2.0), [False, True], (20, 2.0)),
    )
    def test_best_by_metric(self, metric, values, news, expected):
        best = self.make(metric)
        self.assertIsNone(best.best)
        self.assertEqual(self.add(best, *values), news)
        self.assertEqual(best.best, expected)
        self.assertEqual(self.saved, [10 * i for i, new in enumerate(news, start=1) if new])
        self.assertEqual(self.pinned(), [expected[0]])
        figures = best.figures()
        self.assertEqual((figures["best_step"], figures["best_value"]), expected)

    def test_another_processes_goes_on(self):
        self.add(self.make(patience=2), 0.5, 0.7, 0.6)
        again = self.make(patience=2)
        self.assertEqual(again.best, (20, 0.7))
        self.assertFalse(again.exhausted)
        self.add(again, 0.65, first=40)
        self.assertTrue(again.exhausted)
        self.assertTrue(self.make(patience=2).exhausted)
        self.assertTrue(self.make(patience=2).figures()["stopped_early"])

    def test_goes_back_with_the_run(self):
        best = self.make(patience=2)
        self.add(best, 0.5, 0.4, 0.3)
        again = self.make(patience=2)
        self.assertTrue(again.exhausted)
        again.go_on_from(20)
        self.assertFalse(again.exhausted)
        self.assertTrue(again.has(20))
        self.assertFalse(again.has(30))
        self.add(again, 0.9, first=30)
        self.assertEqual(again.best, (30, 0.9))
        self.assertEqual(self.pinned(), [30])

    def test_record_of_another_metric_begins_anew(self):
        self.add(self.make("accuracy"), 0.5)
        self.assertEmpty(self.make("loss").evaluations)

    def test_none_is_looked_for(self):
        best = self.make(None)
        self.assertFalse(best)
        self.assertFalse(best.exhausted)
        self.assertEqual(best.figures(), {})

    def test_evaluations_select(self):
        values, done = iter([0.5, 0.7, 0.6]), []

        class Evaluation:
            def __call__(self, state, step):
                self.scores = {"accuracy": next(values)}

            def is_done(self, step):
                done.append(step)
                return True

        best, notes = self.make(patience=1), []
        selecting = best_prompt.SelectingEvaluation(Evaluation(), best, self._save, notes.append)
        self.assertEqual([selecting(step, step) for step in (10, 20, 30)], [False, False, True])
        self.assertEqual((self.saved, len(notes), self.pinned()), ([10, 20], 2, [20]))
        self.assertTrue(selecting.is_done(30))
        self.assertFalse(selecting.is_done(40))
        self.assertEqual(done, [30, 39])

    def test_mistakes(self):
        with self.assertRaisesRegex(ValueError, "'f1' is not one of this run's.*auc, loss: --best"):
            self.make("f1").add(10, {"loss": 1.0, "auc": 0.5}, lambda: None)

    def test_names_are_checked(self):
        names = {"accuracy", "matthews_corrcoef", "loss"}
        self.make().check(names)
        self.make(None).check(names)
        with self.assertRaisesRegex(
            ValueError,
            "'matthews_corcoef' is not one of this run's, which are accuracy, loss, matthews_corrcoef; did "
            r"you mean matthews_corrcoef\?: --best_metric \(BEST_METRIC\)",
        ):
            self.make("matthews_corcoef").check(names)

    def test_record_is_readable(self):
        self.add(self.make(), 0.5, 0.25)
        with open(os.path.join(self.folder, best_step.FILE), encoding="utf-8") as file:
            self.assertEqual(
                json.load(file),
                {
                    "metric": "accuracy",
                    "evaluations": [[10, 0.5], [20, 0.25]],
                    "best_step": 10,
                    "best_value": 0.5,
                },
            )


if __name__ == "__main__":
    absltest.main()
