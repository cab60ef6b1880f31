# SPDX-License-Identifier: Apache-2.0
"""The demonstration's claims, at full length: what the prompt is worth, and on which weights.

Trains on opinion words of one half and tests on the other half, which only the frozen model knows.
"""

import numpy as np
from absl.testing import absltest

from tests.end_to_end import programs

_SEEDS = range(5)
# Nothing learned gives 0.5 on labels in equal parts; the rest is the noise of 1,000 reviews and
# the little that the frozen model gives away.
_CHANCE = 0.60


class DemoTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)

    def figures(self, name: str, *flags: str):
        model_dir = self.folder / name
        result = programs.run("train", f"--model_dir={model_dir}", *flags, folder=self.folder)
        self.assertEqual(result.code, 0, result.stderr)
        return programs.summary(model_dir)

    def test_prompts_of_five_seeds(self):
        runs = [self.figures(f"seed_{seed}", f"--seed={seed}") for seed in _SEEDS]
        accuracies = [run["accuracy_with_prompt"] for run in runs]
        prompts = {programs.prompt(run["model_dir"], 1950).tobytes() for run in runs}
        print(
            f"without a prompt {runs[0]['accuracy_without_prompt']:.3f}, with: {accuracies}, mean "
            f"{np.mean(accuracies):.3f}"
        )
        self.assertLen(prompts, len(_SEEDS), "The seed changes nothing.")
        for run in runs:
            with self.subTest(seed=run["random_seed"]):
                self.assertEqual(run["split"], "test")
                self.assertGreaterEqual(run["accuracy_with_prompt"], 0.93)
                self.assertLessEqual(run["accuracy_without_prompt"], _CHANCE)
        self.assertGreaterEqual(np.mean(accuracies), 0.95)

    def test_int8_weights_cost_a_point_at_most(self):
        plain = self.figures("float32", "--seed=0")
        flags = ("--gin.FROZEN_WEIGHTS_DTYPE='int8'", "--gin.SCAN_LAYERS=True")
        narrow = self.figures("int8", "--seed=0", *flags)
        accuracy = "accuracy_with_prompt"
        print(f"float32 {plain[accuracy]:.3f}, int8 {narrow[accuracy]:.3f}")
        self.assertLessEqual(abs(plain[accuracy] - narrow[accuracy]), 0.01)

    def test_random_frozen_weights_stay_at_chance(self):
        # No checkpoint: every parameter is drawn, and all but the prompt stay as they are drawn.
        run = self.figures("random", "--gin.utils.CheckpointConfig.restore=None")
        self.assertLessEqual(run["accuracy_with_prompt"], _CHANCE)
        self.assertLessEqual(run["accuracy_without_prompt"], _CHANCE)

    def test_no_flags_make_a_new_folder_where_the_user_stands(self):
        result = programs.run("train", "--train_steps=1", folder=self.folder)
        self.assertEqual(result.code, 0, result.stderr)
        (made,) = (self.folder / "prompt_tuning_runs").iterdir()
        self.assertStartsWith(made.name, "bundled-")
        self.assertEqual(programs.summary(made)["task"], "bundled_reviews")


if __name__ == "__main__":
    absltest.main()
