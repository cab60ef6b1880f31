# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest, parameterized

from prompt_tuning.training import actions

_METRIC = ("reviews", "accuracy")


class ActionsTest(parameterized.TestCase):
    def stops(self, action, values):
        """How many values it takes until the action ends the training; None for never."""
        for number, value in enumerate(values, start=1):
            if action.run(None, {"reviews": {"accuracy": value}, "other": {"loss": 1.0}}):
                return number
        return None

    @parameterized.parameters(
        ("max", {}, [1, 2, 3, 4, 5], None),
        ("max", {}, [1, 1, 1], 3),
        ("max", {}, [1, 2, 2, 1], 4),
        ("max", {}, [3, 2, 3, 2, 3], None),  # Each value is compared with the one before it.
        ("min", {}, [1, 2, 3], 3),
        ("min", {}, [3, 2, 1], None),
        ("max", {"patience": 2}, [1, 1], 2),
        ("max", {"patience": 1}, [1], 1),  # As T5X: there is nothing to compare with.
        ("max", {"atol": 0.5}, [1, 1.5, 2], 3),
        ("max", {"atol": 0.4}, [1, 1.5, 2], None),
        ("min", {"rtol": 0.5}, [8, 4, 2], 3),
        ("min", {"rtol": 0.4}, [8, 4, 2], None),
        ("min", {"rtol": 0.5}, [-2, -3, -4.5], 3),
        ("max", {}, [1, float("nan"), float("nan")], 3),
    )
    def test_early_stopping(self, mode, options, values, expected):
        action = actions.EarlyStoppingAction(_METRIC, mode, **options)
        self.assertEqual(self.stops(action, values), expected)

    @parameterized.parameters(
        ({"metric": "accuracy", "mode": "max"}, "'accuracy'; it must be a pair"),
        ({"metric": _METRIC, "mode": "most"}, "'most'; accepted are 'min' and 'max'"),
        ({"metric": _METRIC, "mode": "max", "patience": 0}, "patience is 0; .* at least 1"),
        ({"metric": _METRIC, "mode": "max", "atol": -1}, "atol is -1; .* at least 0"),
        ({"metric": _METRIC, "mode": "max", "rtol": -0.5}, "rtol is -0.5"),
    )
    def test_arguments(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            actions.EarlyStoppingAction(**arguments)

    @parameterized.parameters((1.0, False), (float("nan"), True), (float("-inf"), True))
    def test_not_finite(self, value, expected):
        action = actions.TerminateOnNanAction("reviews")
        self.assertEqual(action.run(None, {"reviews": {"loss": value}}), expected)

    def test_a_metric_that_is_not_there_is_told_and_ends_nothing(self):
        metrics = {"reviews": {"auc": 0.5}}
        for action in (
            actions.EarlyStoppingAction(_METRIC, "max", patience=1),
            actions.TerminateOnNanAction("other"),
        ):
            with self.assertLogs(level="WARNING") as logs:
                self.assertFalse(action.run(None, metrics))
            self.assertIn("there are ['reviews/auc']", logs.output[0])

    def test_modes(self):
        actions.check(None)
        actions.check({"TRAIN_EVAL": [], "INFER_EVAL": []})
        with self.assertRaisesRegex(ValueError, "'TRAIN'; accepted are TRAIN_EVAL, INFER_EVAL"):
            actions.check({"TRAIN": []})


if __name__ == "__main__":
    absltest.main()
