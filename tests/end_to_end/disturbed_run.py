# SPDX-License-Identifier: Apache-2.0
"""A run that gets a signal, and the undisturbed run of the same flags that it is compared with."""

import pathlib
import signal

from absl.testing import parameterized

from tests.end_to_end import programs, review_files

STEPS, PERIOD = 60, 20
FIRST_SAVED = programs.FIRST_STEP + PERIOD
LAST = programs.FIRST_STEP + STEPS
SAVED = range(programs.FIRST_STEP, LAST + 1, PERIOD)


def metrics(model_dir: pathlib.Path) -> str:
    """The lines of the task's metrics so far."""
    path = model_dir / "inference_eval" / "file_task-metrics.jsonl"
    return path.read_text() if path.exists() else ""


class DisturbedRunTest(parameterized.TestCase):
    """Base class: trains `undisturbed` once, and disturbs further runs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        cls.flags = [
            *review_files.flags(cls.folder, splits=("train", "validation")),
            f"--train_steps={STEPS}",
            f"--eval_period={PERIOD}",
            f"--checkpoint_period={PERIOD}",
            "--batch_size=16",
            "--dropout_rate=0.1",
        ]
        cls.undisturbed = cls.folder / "undisturbed"
        result = cls.train(cls.undisturbed)
        if result.code:
            raise RuntimeError(result.stderr)

    @classmethod
    def train(cls, model_dir: pathlib.Path, *flags: str) -> programs.Result:
        """The command of the class, with further flags."""
        return programs.run(
            "train", f"--model_dir={model_dir}", *cls.flags, *flags, folder=cls.folder
        )

    def disturbed(self, number: signal.Signals) -> tuple[pathlib.Path, programs.Result]:
        """A run that gets the signal once it has saved and evaluated for the first time."""
        model_dir = self.folder / number.name
        result = programs.run_until(
            "train",
            f"--model_dir={model_dir}",
            *self.flags,
            folder=self.folder,
            reached=lambda: f'"step": {FIRST_SAVED}' in metrics(model_dir),
            number=number,
        )
        self.assertNotIn(LAST, programs.steps(model_dir), "The run ended before the signal came.")
        return model_dir, result

    def assert_same_outcome(self, model_dir: pathlib.Path) -> None:
        """Fails unless prompts and figures are those of the undisturbed run, bit for bit."""
        for step in SAVED:
            self.assertEqual(
                programs.prompt_path(model_dir, step).read_bytes(),
                programs.prompt_path(self.undisturbed, step).read_bytes(),
                f"The prompt of step {step} differs.",
            )
        ours, theirs = (programs.summary(folder) for folder in (model_dir, self.undisturbed))
        for figure in ("accuracy_with_prompt", "auc_with_prompt", "train_steps"):
            self.assertEqual(ours[figure], theirs[figure], figure)
