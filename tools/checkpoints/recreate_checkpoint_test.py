# SPDX-License-Identifier: Apache-2.0
"""Tests of recreate_checkpoint."""

import os

import ml_dtypes
import numpy as np
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.checkpoints import prompt_files, t5x_format
from tools.checkpoints import command_line, recreate_checkpoint

_PROMPT = "encoder/prompt/prompt/prompt"
_NEWEST = {_PROMPT: np.full((3, 4), 9, np.float32)}
_SLOTS = {f"{_PROMPT}/v": np.full((3, 4), 0.5, np.float32)}
_BASE = {"token_embedder/embedding": np.arange(32, dtype=np.float32).reshape(8, 4)}
_EARLIER = np.arange(12, dtype=np.float32).reshape(3, 4)


class _RunTest(parameterized.TestCase):
    """A run with a checkpoint of step 30 and a numpy prompt of step 10, and its base model."""

    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.run_dir = os.path.join(self.root, "run")
        t5x_format.write_checkpoint(self.run_dir, 30, _NEWEST, _SLOTS)
        prompt_files.write_numpy_prompts(self.run_dir, 10, {_PROMPT: _EARLIER})
        t5x_format.write_checkpoint(os.path.join(self.root, "base"), 0, _BASE)


class RecreateTest(_RunTest):
    def test_the_prompt_is_the_earlier_one_and_the_state_the_newest(self):
        path = recreate_checkpoint.recreate(self.run_dir, 10)
        self.assertEqual(path, os.path.join(self.run_dir, "checkpoint_10"))
        checkpoint = t5x_format.open_checkpoint(path)
        self.assertEqual(checkpoint.step, 10)
        self.assertEqual(checkpoint.leaves["state/step"].dtype, np.int32)
        np.testing.assert_array_equal(checkpoint.target()[_PROMPT].get(), _EARLIER)
        slot = checkpoint.leaves[f"state/param_states/{_PROMPT}/v"].get()
        np.testing.assert_array_equal(slot, _SLOTS[f"{_PROMPT}/v"])

    def test_with_the_frozen_weights_it_is_a_whole_model(self):
        out = os.path.join(self.root, "out")
        base = os.path.join(self.root, "base")
        path = recreate_checkpoint.recreate(self.run_dir, 10, out, base, "bfloat16")
        arrays = t5x_format.read_arrays(t5x_format.open_checkpoint(path).target())
        self.assertCountEqual(arrays, [_PROMPT, *_BASE])
        for name, value in {**_BASE, _PROMPT: _EARLIER}.items():
            np.testing.assert_array_equal(arrays[name], value.astype(ml_dtypes.bfloat16))

    def test_a_file_with_the_suffix(self):
        folder = os.path.join(self.run_dir, "numpy_checkpoints", "checkpoint_10")
        path = os.path.join(folder, _PROMPT.replace("/", "."))
        os.rename(path, path + ".npy")
        path = recreate_checkpoint.recreate(self.run_dir, 10)
        leaf = t5x_format.open_checkpoint(path).target()[_PROMPT]
        np.testing.assert_array_equal(leaf.get(), _EARLIER)

    def test_what_cannot_be_made(self):
        with self.assertRaisesRegex(FileNotFoundError, "checkpoint_11 .* prompts: 10"):
            recreate_checkpoint.recreate(self.run_dir, 11)
        prompt_files.write_numpy_prompts(self.run_dir, 30, {_PROMPT: _EARLIER})
        with self.assertRaisesRegex(ValueError, "step 30 already; set another --output_dir"):
            recreate_checkpoint.recreate(self.run_dir, 30)
        prompt_files.write_numpy_prompts(self.run_dir, 12, {_PROMPT: _EARLIER[:2]})
        with self.assertRaisesRegex(ValueError, r"\(2, 4\), but .*_30 has shape \(3, 4\)"):
            recreate_checkpoint.recreate(self.run_dir, 12)
        prompt_files.write_numpy_prompts(self.run_dir, 13, {"x/y": _EARLIER})
        with self.assertRaisesRegex(ValueError, "x/y .* no such parameter"):
            recreate_checkpoint.recreate(self.run_dir, 13)


class ProgramTest(_RunTest):
    def status(self, **values) -> int:
        with flagsaver.flagsaver(**values):
            return command_line.status(recreate_checkpoint.main, ["recreate_checkpoint"])

    def test_flags(self):
        self.assertEqual(self.status(model_dir=self.run_dir, step=10), 0)
        self.assertEqual(t5x_format.checkpoint_steps(self.run_dir), [10, 30])

    def test_upstreams_spelling(self):
        arguments = [
            "--gin_file=model.gin",
            "--gin.MODEL_DIR='x'",
            f"--gin.recreate_checkpoint.model_dir='{self.run_dir}'",
            "--gin.recreate_checkpoint.step=1_0",
            "--gin.recreate_checkpoint.concurrent_gb=16",
            f"--gin.recreate_checkpoint.output_dir='{self.root}/out=1'",
        ]
        bindings = recreate_checkpoint.with_gin_flags(arguments)
        self.assertEqual(bindings[0], arguments[0])
        texts = [text.removeprefix("--gin_bindings=") for text in bindings[1:]]
        self.assertEqual(self.status(gin_bindings=texts), 0)
        self.assertEqual(t5x_format.checkpoint_steps(f"{self.root}/out=1"), [10])

    @parameterized.parameters(
        ({"step": 10}, 2),
        ({"model_dir": "x"}, 2),
        ({"gin_bindings": ["recreate_checkpoint.model_dri = 'x'"]}, 2),
        ({"gin_bindings": ["recreate_checkpoint.step = @x"]}, 1),
        ({"model_dir": "nowhere", "step": 10}, 1),
    )
    def test_user_errors(self, values, code):
        self.assertEqual(self.status(**values), code)


if __name__ == "__main__":
    absltest.main()
