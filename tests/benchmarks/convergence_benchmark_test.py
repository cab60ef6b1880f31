# SPDX-License-Identifier: Apache-2.0
"""That our side of the sweep learns, and that its table says what was measured."""

from absl.testing import absltest, flagsaver

from tests.benchmarks import convergence_benchmark

_SETTING = convergence_benchmark.OUR_DEFAULT


def _run(*curve):
    return _SETTING | {"curve": list(curve)}


class ConvergenceBenchmarkTest(absltest.TestCase):
    def test_our_default_reaches_the_goal(self):
        with flagsaver.flagsaver(steps=60, period=10, goal=0.8, examples=100):
            sweep = convergence_benchmark.OurSweep(convergence_benchmark.make_data(100))
            curve = sweep.run(_SETTING)["curve"]
        self.assertLess(curve[0][2], 0.7)
        self.assertGreaterEqual(curve[-1][2], 0.8)
        self.assertEqual([step for step, _, _ in curve], list(range(0, 10 * len(curve), 10)))
        self.assertGreater(curve[-1][1], 0)

    def test_both_sides_have_grids_of_one_size(self):
        ours = convergence_benchmark.settings(convergence_benchmark._OUR_RATES)
        theirs = convergence_benchmark.settings(convergence_benchmark._THEIR_RATES)
        self.assertLen(ours, len(theirs))
        self.assertIn(_SETTING, ours)

    def test_the_best_run_is_the_one_that_was_there_first(self):
        slow = _run((0, 0.0, 0.5), (10, 4.0, 0.95))
        quick = _run((0, 0.0, 0.5), (10, 1.0, 0.7), (20, 2.0, 0.9))
        never = _run((0, 0.0, 0.5), (150, 1.0, 0.89))
        self.assertIs(convergence_benchmark.best([slow, never, quick], 0.9), quick)
        self.assertIsNone(convergence_benchmark.best([never], 0.9))
        self.assertIn("20 steps, 2.0 CPU-s", convergence_benchmark.describe(quick, 0.9))
        self.assertIn("not in 150 steps", convergence_benchmark.describe(never, 0.9))


if __name__ == "__main__":
    absltest.main()
