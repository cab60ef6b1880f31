# SPDX-License-Identifier: Apache-2.0
import io

from absl.testing import absltest, parameterized

from prompt_tuning.runs import answer_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class AnswerProgressTest(parameterized.TestCase):
    def run_for(self, stream, seconds, step=0.5, quiet=False):
        now = [100.0]
        progress = answer_progress.AnswerProgress(stream, quiet, lambda: now[0])
        now[0] += 20  # Loading is no row's fault.
        for _ in range(round(seconds / step)):
            progress.add({"prediction": "a"})
            now[0] += step
        progress.finish()
        return stream.getvalue()

    def test_log_gets_few_lines(self):
        lines = self.run_for(io.StringIO(), 25).splitlines()
        self.assertLen(lines, 3)
        self.assertEqual(lines[-1], "50 examples in 45.0 s (1.11 per second)")

    def test_terminal_gets_one_line_again_and_again(self):
        text = self.run_for(Terminal(), 25)
        self.assertEqual(text.count("\n"), 1)
        self.assertGreater(text.count("\r"), 10)

    @parameterized.parameters(io.StringIO, Terminal)
    def test_quiet_only_at_the_end(self, stream):
        self.assertLen(self.run_for(stream(), 100, quiet=True).splitlines(), 1)

    def test_errors_are_counted_by_kind(self):
        progress = answer_progress.AnswerProgress(io.StringIO())
        for kind in ("empty", "too_long", "empty", None):
            progress.add({"error": kind} if kind else {"prediction": "a"})
        self.assertEqual(progress.count, 4)
        self.assertIn("3 without an answer: 2 empty, 1 too_long", progress._text(1e9))


if __name__ == "__main__":
    absltest.main()
