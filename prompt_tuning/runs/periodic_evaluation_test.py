# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
from absl.testing import absltest

from prompt_tuning.runs import periodic_evaluation
from prompt_tuning.training import train_state


class FakeEvaluator:
    task = "reviews"
    task_metrics = {"reviews/f1": 70.0, "f1": 70.0}

    def __init__(self):
        self.calls = []

    def figures(self, params, step):
        self.calls.append((sorted(params), step))
        return {"accuracy": step / 100, "exact_match": 0.25}

    @property
    def latest_metrics(self):
        return {"reviews": {"accuracy": 50.0}}

    def rewind(self, step):
        return step == 50


class FakeTrainer:
    def eval_step(self, params, frozen, batch):
        return {"loss": np.float32(batch["loss"]), "weight_sum": np.float32(2.0)}


class FakeDisplay:
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class PeriodicEvaluationTest(absltest.TestCase):
    def make(self, **parts):
        self.folder, self.display = self.create_tempdir().full_path, FakeDisplay()
        parts = {"evaluator": None, "batches": None, "num_batches": 2, **parts}
        return periodic_evaluation.PeriodicEvaluation(
            self.folder, self.display, FakeTrainer(), {"frozen": np.zeros(3)}, **parts
        )

    def state(self):
        return train_state.TrainState.create(50, {"prompt": np.zeros((2, 3))}, {})

    def test_metrics_see_all_parameters_and_are_kept(self):
        evaluator = FakeEvaluator()
        evaluation = self.make(evaluator=evaluator)
        self.assertIsNone(evaluation.latest)
        self.assertIsNone(evaluation(self.state(), 50))
        self.assertEqual(evaluator.calls, [(["frozen", "prompt"], 50)])
        self.assertEqual(evaluation.latest, {"accuracy": 0.5, "exact_match": 0.25, "f1": 70.0})
        self.assertEqual(
            evaluation.scores,
            {"accuracy": 0.5, "exact_match": 0.25, "reviews/f1": 70.0, "f1": 70.0},
        )
        self.assertEqual(
            self.display.notes, ["step 50: accuracy 0.500  exact match 0.250  f1 70.000"]
        )

    def test_loss_is_over_at_most_the_given_batches_and_is_written(self):
        evaluation = self.make(batches=lambda: iter([{"loss": 4.0}, {"loss": 2.0}, {"loss": 99.0}]))
        evaluation(self.state(), 50)
        # 6 over the two batches, 4 target tokens.
        self.assertIn("validation loss", self.display.notes[0])
        self.assertAlmostEqual(evaluation.scores["loss"], 1.5)
        self.assertNotIn("99", self.display.notes[0])
        self.assertEqual(os.listdir(os.path.join(self.folder, "training_eval")), ["validation"])

    def test_what_an_earlier_process_has_evaluated(self):
        evaluation = self.make(evaluator=FakeEvaluator())
        self.assertTrue(evaluation.is_done(50))
        self.assertFalse(evaluation.is_done(100))
        self.assertTrue(self.make().is_done(100))

    def test_metrics_for_actions(self):
        evaluation = self.make(evaluator=FakeEvaluator(), batches=lambda: iter([{"loss": 4.0}]))
        evaluation(self.state(), 50)
        found = evaluation.metrics_by_task()
        self.assertEqual(found["INFER_EVAL"], {"reviews": {"accuracy": 50.0}})
        self.assertEqual(found["TRAIN_EVAL"]["reviews"]["loss"], 4.0)
        self.assertEqual(self.make().metrics_by_task(), {"TRAIN_EVAL": {}, "INFER_EVAL": {}})

    def test_nothing_to_evaluate_says_nothing(self):
        self.make()(self.state(), 50)
        self.assertEqual(self.display.notes, [])
        self.assertEqual(os.listdir(self.folder), [])


if __name__ == "__main__":
    absltest.main()
