# SPDX-License-Identifier: Apache-2.0
"""The same command again: after a kill, after the end, and with another prompt."""

import shutil
import signal

import numpy as np
from absl.testing import absltest

from tests.end_to_end import disturbed_run, programs


class ResumeTest(disturbed_run.DisturbedRunTest):
    def test_prompts_of_the_undisturbed_run_differ(self):
        # Else the comparisons of bytes would say nothing.
        found = [programs.prompt(self.undisturbed, step) for step in disturbed_run.SAVED]
        for one, next_one in zip(found, found[1:], strict=False):
            self.assertGreater(np.abs(one - next_one).max(), 1e-3)

    def test_killed_run_goes_on_bit_for_bit(self):
        model_dir, killed = self.disturbed(signal.SIGKILL)
        self.assertEqual(killed.code, -signal.SIGKILL)
        self.assertFalse((model_dir / "summary.json").exists())
        # What a process that dies while it writes leaves behind.
        newest = model_dir / f"checkpoint_{programs.steps(model_dir)[-1]}"
        unfinished = model_dir / f"checkpoint_{disturbed_run.LAST}.tmp-4242"
        shutil.copytree(newest, unfinished)
        (unfinished / "checkpoint").write_bytes(b"")
        again = self.train(model_dir)
        self.assertEqual(again.code, 0, again.stderr)
        self.assertIn(f"going on from {newest}\n", again.stderr)
        self.assert_same_outcome(model_dir)
        self.assertEqual(disturbed_run.metrics(model_dir), disturbed_run.metrics(self.undisturbed))
        self.assertEqual(programs.steps(model_dir), [disturbed_run.LAST])

    def test_finished_run_is_not_trained_again(self):
        model_dir = self.folder / "finished"
        shutil.copytree(self.undisturbed, model_dir)
        again = self.train(model_dir)
        self.assertEqual(again.code, 0, again.stderr)
        self.assertIn("going on from", again.stderr)
        self.assertNotIn("saved ", again.stderr)
        self.assert_same_outcome(model_dir)

    def test_evaluation_that_a_kill_prevented_is_made_up(self):
        """A process that dies between saving and evaluating: the line is missing, or half there."""
        model_dir = self.folder / "owed"
        shutil.copytree(self.undisturbed, model_dir)
        (model_dir / "summary.json").unlink()
        lines = disturbed_run.metrics(model_dir).splitlines(keepends=True)
        path = model_dir / "inference_eval" / "file_task-metrics.jsonl"
        path.write_text("".join(lines[:-1]) + lines[-1][:20])
        again = self.train(model_dir)
        self.assertEqual(again.code, 0, again.stderr)
        self.assertEqual(disturbed_run.metrics(model_dir), disturbed_run.metrics(self.undisturbed))
        self.assert_same_outcome(model_dir)

    def test_run_of_another_prompt_length_is_refused_and_kept(self):
        before = programs.prompt_path(self.undisturbed, disturbed_run.LAST).read_bytes()
        result = self.train(self.undisturbed, "--prompt_length=7")
        self.assertEqual(result.code, 2, result.stderr)
        self.assertRegex(result.stderr, r"\Aerror: [^\n]*\(20, 128\)[^\n]*\(7, 128\)[^\n]*\n\Z")
        self.assertRegex(result.stderr, "PROMPT_LENGTH.* or choose another MODEL_DIR")
        path = programs.prompt_path(self.undisturbed, disturbed_run.LAST)
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual(programs.steps(self.undisturbed), [disturbed_run.LAST])


if __name__ == "__main__":
    absltest.main()
