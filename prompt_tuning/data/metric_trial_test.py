# SPDX-License-Identifier: Apache-2.0
import numpy as np

from prompt_tuning.data import fixture_tfds, metric_trial

_TEXT = fixture_tfds.TEXT
_COLA = "sentence\tlabel\nit is so\t1\nis so it\t0\n"
_MRPC = "sentence1\tsentence2\tlabel\na\tb\t1\nc\td\t0\n"


class MetricTrialTest(fixture_tfds.TfdsTestCase):
    files = {
        "glue/cola:2.0.0": {"validation": _COLA},
        "glue/mrpc:2.0.0": {"validation": _MRPC},
    }
    stored = {
        "xsum:1.1.0": (
            {"document": _TEXT, "summary": _TEXT},
            {"validation": [{"document": "It rained.", "summary": "Rain."}]},
        ),
    }

    def tried(self, name: str, task=None):
        return metric_trial.perfect_metrics(
            task or self.task(name), self.examples(name, "validation")
        )

    def test_names(self):
        for name, expected in (
            ("taskless_glue_cola_v200", {"matthews_corrcoef"}),
            ("taskless_glue_cola_v200_examples", {"matthews_corrcoef"}),
            ("taskless_glue_mrpc_v200", {"f1", "accuracy"}),
            ("xsum_v110_examples", {"rouge1", "rouge2", "rougeLsum"}),
        ):
            with self.subTest(name):
                self.assertEqual(set(self.tried(name)), expected)

    def test_functions_of_others(self):
        class Task:
            """A task with other metric functions."""

            output_features = self.task("taskless_glue_cola_v200").output_features
            predict_metric_fns, score_metric_fns, predict_with_aux_metric_fns = (), (), ()

            def postprocess_fn(self, text, example, is_target):
                return text, is_target

        def scored(targets, scores):
            return {"mean": np.mean(scores), "count": len(targets), "text": "no number"}

        task = Task()
        task.score_metric_fns = [scored]
        self.assertEqual(self.tried("taskless_glue_cola_v200", task), {"mean": 0.0, "count": 2.0})
        task.predict_with_aux_metric_fns = [scored]
        self.assertIsNone(self.tried("taskless_glue_cola_v200", task))
        task = Task()
        task.predict_metric_fns = [lambda targets, predictions: 1 / 0]
        self.assertIsNone(self.tried("taskless_glue_cola_v200", task))


if __name__ == "__main__":
    fixture_tfds.absltest.main()
