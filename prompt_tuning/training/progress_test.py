# SPDX-License-Identifier: Apache-2.0
"""Tests of what a person sees."""

import io

import rich.console
from absl.testing import absltest

from prompt_tuning.training import progress


def _scalars(loss=0.5, rate=10.0):
    return {
        "loss": 100 * loss,
        "loss_per_nonpadding_target_token": loss,
        "timing/steps_per_second": rate,
    }


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


class LineProgressTest(absltest.TestCase):
    def test_counts_from_the_first_step_of_the_run(self):
        stream = io.StringIO()
        lines = progress.LineProgress(stream)
        lines.start(1_100_000, 1_101_000)
        lines.report(1_100_100, _scalars())
        self.assertEqual(
            stream.getvalue(), "step 100/1000  loss 0.5000  10.0 steps/s  0:01:30 left\n"
        )

    def test_at_most_one_line_in_a_period_and_always_the_last(self):
        now = [0.0]
        stream = io.StringIO()
        lines = progress.LineProgress(stream, min_seconds=5.0, clock=lambda: now[0])
        lines.start(0, 10)
        for step in range(1, 11):
            now[0] += 1.0
            lines.report(step, _scalars())
        steps = [line.split("  ")[0] for line in stream.getvalue().splitlines()]
        self.assertEqual(steps, ["step 1/10", "step 6/10", "step 10/10"])

    def test_notes_are_lines(self):
        stream = io.StringIO()
        progress.LineProgress(stream).note("saved somewhere")
        self.assertEqual(stream.getvalue(), "saved somewhere\n")

    def test_a_model_without_the_usual_metrics(self):
        stream = io.StringIO()
        lines = progress.LineProgress(stream)
        lines.start(0, 2)
        lines.report(1, {})
        self.assertEqual(stream.getvalue(), "step 1/2\n")


class BarProgressTest(absltest.TestCase):
    def test_shows_loss_rate_and_position(self):
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=True, width=120)
        bar = progress.BarProgress(console)
        bar.start(1_100_000, 1_100_200)
        for step in range(1_100_001, 1_100_201):
            bar.advance(step)
        bar.report(1_100_200, _scalars(loss=0.1234))
        bar.note("saved [model]/checkpoint_1100200")
        bar.stop()
        text = stream.getvalue()
        for part in ("200/200", "loss 0.1234", "10.0 steps/s", "saved [model]/checkpoint_1100200"):
            self.assertIn(part, text)


class MakeProgressTest(absltest.TestCase):
    def test_a_bar_on_a_terminal_and_lines_elsewhere(self):
        self.assertIsInstance(progress.make_progress(FakeTerminal()), progress.BarProgress)
        self.assertIsInstance(progress.make_progress(io.StringIO()), progress.LineProgress)


if __name__ == "__main__":
    absltest.main()
