# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and a machine that is taken away: the run saves, says so, and can go on."""

import re
import signal

from absl.testing import absltest

from tests.end_to_end import disturbed_run, programs


class InterruptionTest(disturbed_run.DisturbedRunTest):
    def interrupted_at(self, number: signal.Signals):
        """(MODEL_DIR, step) of an interrupted run, after checking what it said."""
        model_dir, result = self.disturbed(number)
        self.assertEqual(result.code, 130, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        said = [line for line in result.stderr.splitlines() if "interrupted" in line]
        self.assertLen(said, 1, result.stderr)
        found = re.fullmatch(
            rf"interrupted: {number.name}: stopped at step (\d+), which is saved in "
            rf"{re.escape(str(model_dir))}; the same command goes on from there",
            said[0],
        )
        self.assertIsNotNone(found, said[0])
        self.assertEqual(programs.steps(model_dir)[-1], int(found[1]))
        self.assertFalse((model_dir / "summary.json").exists())
        return model_dir, int(found[1])

    def test_terminated_run_goes_on_bit_for_bit(self):
        model_dir, step = self.interrupted_at(signal.SIGTERM)
        again = self.train(model_dir)
        self.assertEqual(again.code, 0, again.stderr)
        self.assertIn(f"going on from {model_dir / f'checkpoint_{step}'}\n", again.stderr)
        self.assert_same_outcome(model_dir)

    def test_control_c_saves_and_says_so(self):
        self.interrupted_at(signal.SIGINT)


if __name__ == "__main__":
    absltest.main()
