# SPDX-License-Identifier: Apache-2.0
"""A folder with random prompts of unequal length, and how the tests of `infer` start it."""

import numpy as np
from absl.testing import absltest

from prompt_tuning.bundled import bundled
from tests.end_to_end import programs, review_files

GOOD = "a charming film ."
LABELS = review_files.LABELS


class PromptedRunsTest(absltest.TestCase):
    """Prompts are random: what matters is which row meets which prompt, and what becomes of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)
        random = np.random.default_rng(0)
        for name, length in (("a", 20), ("b", 7), ("c", 1)):
            prompt = random.normal(size=(length, bundled.SIZES["emb_dim"]))
            np.save(cls.folder / f"{name}.npy", prompt.astype(np.float32))
        cls.prompts = [f"--prompt={name}={name}.npy" for name in "abc"]

    def infer(self, *flags: str, stdin: str = "", code: int = 0) -> programs.Result:
        result = programs.run("infer", *flags, folder=self.folder, stdin=stdin)
        self.assertEqual(result.code, code, result.stderr)
        return result

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return f"--input_file={name}"
