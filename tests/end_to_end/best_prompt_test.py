# SPDX-License-Identifier: Apache-2.0
"""The best prompt of a run is kept, evaluated and used; a run that gets no better ends early."""

import json

from absl.testing import absltest

from tests.end_to_end import programs, review_files

_PERIOD = 5
_FIRST = programs.FIRST_STEP + _PERIOD


class BestPromptTest(absltest.TestCase):
    def test_a_run_that_gets_no_better_ends_early(self):
        folder = programs.new_folder(type(self))
        model_dir = folder / "run"
        flags = [
            *review_files.flags(folder, splits=("train", "validation")),
            f"--model_dir={model_dir}",
            "--train_steps=60",
            f"--eval_period={_PERIOD}",
            "--checkpoint_period=60",
            "--batch_size=16",
            "--learning_rate=0.0",  # Every evaluation gives the same.
            "--best_metric=accuracy",
            "--early_stopping=2",
        ]
        result = programs.run("train", *flags, folder=folder)
        self.assertEqual(result.code, 0, result.stderr)
        self.assertIn(f"stopped early: nothing better since step {_FIRST}", result.stderr)
        figures = programs.summary(model_dir)
        self.assertEqual(figures["best_step"], _FIRST)
        self.assertEqual(figures["train_steps"], 3 * _PERIOD)
        self.assertTrue(figures["stopped_early"])
        self.assertEqual(figures["best_value"], figures["accuracy_with_prompt"])
        self.assertEqual(figures["prompt_file"], str(programs.prompt_path(model_dir, _FIRST)))
        self.assertTrue((model_dir / f"checkpoint_{_FIRST}" / "PINNED").exists())
        # A metric that the run will not have is told before anything is trained.
        wrong = [flag.replace("metric=accuracy", "metric=acuracy") for flag in flags]
        wrong.append(f"--model_dir={folder / 'other'}")
        result = programs.run("train", *wrong, folder=folder)
        self.assertEqual(result.code, 2, result.stderr)
        self.assertIn("'acuracy' is not one of this run's, which are accuracy, auc", result.stderr)
        self.assertIn("did you mean accuracy", result.stderr)
        self.assertFalse((folder / "other").exists())
        # The same command again finds the same, and trains nothing.
        before = json.loads((model_dir / "best_prompt.json").read_text())
        again = programs.run("train", *flags, folder=folder)
        self.assertEqual(again.code, 0, again.stderr)
        self.assertNotIn("saved ", again.stderr)
        self.assertEqual(json.loads((model_dir / "best_prompt.json").read_text()), before)
        self.assertEqual(programs.summary(model_dir)["best_step"], _FIRST)


if __name__ == "__main__":
    absltest.main()
