# SPDX-License-Identifier: Apache-2.0
"""Tests of extract_variable on a checkpoint written here."""

import os

import ml_dtypes
import numpy as np
from absl import app
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.checkpoints import prompt_files, t5x_format
from tools.checkpoints import command_line, extract_variable

_PROMPT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


class ExtractVariableTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        t5x_format.write_checkpoint(self.root, 3, {"encoder/prompt/prompt/prompt": _PROMPT})
        self.output = os.path.join(self.root, "out", "prompt.npy")

    def extract(self, *argv: str, **flags) -> int:
        values = {
            "checkpoint_dir": self.root,
            "variable_path": "/target/encoder/prompt/prompt/prompt",
            "output_path": self.output,
        }
        with flagsaver.flagsaver(**(values | flags)):
            return command_line.status(extract_variable.main, ["extract_variable", *argv])

    def test_the_file_holds_the_parameter(self):
        self.assertEqual(self.extract(), 0)
        saved = np.load(self.output)
        self.assertEqual(saved.dtype, np.float32)
        np.testing.assert_array_equal(saved, _PROMPT)

    def test_bfloat16_can_be_read_as_a_prompt(self):
        self.assertEqual(self.extract(restore_dtype="bfloat16"), 0)
        rounded = _PROMPT.astype(ml_dtypes.bfloat16).astype(np.float32)
        np.testing.assert_array_equal(prompt_files.read_prompt(self.output), rounded)

    @parameterized.parameters(
        (dict(checkpoint_dir="/no/such/folder"), 1), (dict(variable_path="encoder/w"), 1)
    )
    def test_user_errors(self, flags, code):
        self.assertEqual(self.extract(**flags), code)
        self.assertFalse(os.path.exists(self.output))

    def test_stray_arguments(self):
        self.assertEqual(self.extract("stray"), 2)
        with self.assertRaisesRegex(app.UsageError, "'stray' is not a flag"):
            extract_variable.main(["extract_variable", "stray"])


if __name__ == "__main__":
    absltest.main()
