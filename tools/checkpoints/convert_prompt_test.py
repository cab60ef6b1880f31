# SPDX-License-Identifier: Apache-2.0
"""Tests of convert_prompt."""

import contextlib
import io
import os

import numpy as np
import safetensors.numpy
from absl.testing import absltest, flagsaver

from prompt_tuning.checkpoints import peft_adapter, prompt_files, t5x_format, toy_t5
from tools.checkpoints import command_line, convert_prompt

_PROMPTS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32) * 1e3


class ConvertPromptTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.model = self.path("t5")
        toy_t5.write_folder(self.model, {})
        self.enter_context(flagsaver.flagsaver())

    def path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def npy(self, name: str, prompt: np.ndarray) -> str:
        np.save(self.path(name), prompt)
        return self.path(name)

    def convert(self, inputs, output: str, status: int = 0, **settings) -> str:
        """What was printed, errors included."""
        flags = {"input": inputs, "output": self.path(output), "base_model": self.model} | settings
        text = io.StringIO()
        with flagsaver.flagsaver(**flags), contextlib.redirect_stdout(text):
            with contextlib.redirect_stderr(text):
                found = command_line.status(convert_prompt.main, ["convert_prompt"])
        self.assertEqual(found, status, text.getvalue())
        return text.getvalue()

    def test_there_and_back(self):
        text = self.convert([self.npy("a.npy", _PROMPTS[0])], "adapter")
        self.assertIn("PROMPT_TUNING, 1 x 3 positions for", text)
        adapter = peft_adapter.read_adapter(self.path("adapter"))
        self.assertEqual(adapter.base_model, self.model)
        # As config.json of the model has them.
        self.assertEqual(adapter.config["num_layers"], toy_t5.SIZES.num_encoder_layers)
        self.assertEqual(adapter.config["num_attention_heads"], toy_t5.SIZES.num_heads)
        text = self.convert([self.path("adapter")], "back.npy", base_model=None)
        self.assertIn("3 positions of width 4 for", text)
        np.testing.assert_array_equal(prompt_files.read_prompt(self.path("back.npy")), _PROMPTS[0])

    def test_the_prompt_of_a_run(self):
        name = "encoder/prompt/prompt/prompt"
        t5x_format.write_checkpoint(self.path("run"), 9, {name: _PROMPTS[1]})
        self.convert([self.path("run")], "adapter")
        found = peft_adapter.read_adapter(self.path("adapter")).prompt()
        np.testing.assert_array_equal(found, _PROMPTS[1])

    def test_several_tasks(self):
        inputs = [self.npy(f"{i}.npy", prompt) for i, prompt in enumerate(_PROMPTS)]
        self.assertIn("MULTITASK_PROMPT_TUNING, 2 x 3", self.convert(inputs, "adapter"))
        adapter = self.path("adapter")
        self.assertIn("Set --task", self.convert([adapter], "back.npy", status=1))
        self.convert([adapter], "back.npy", task=1)
        np.testing.assert_array_equal(np.load(self.path("back.npy")), _PROMPTS[1])

    def test_what_is_left_out_is_said(self):
        self.convert([self.npy("a.npy", _PROMPTS[0])], "adapter")
        path = os.path.join(self.path("adapter"), "adapter_config.json")
        with open(path) as file:
            text = file.read().replace('submodules": 1', 'submodules": 2')
        with open(path, "w") as file:
            file.write(text)
        safetensors.numpy.save_file(
            {"prompt_embeddings": _PROMPTS.reshape(6, 4)},
            os.path.join(self.path("adapter"), "adapter_model.safetensors"),
        )
        text = self.convert([self.path("adapter")], "back.npy")
        self.assertIn("left out: rows 3 to 5 are for the decoder", text)
        np.testing.assert_array_equal(np.load(self.path("back.npy")), _PROMPTS[0])

    def test_prompts_that_do_not_fit(self):
        wide = self.npy("wide.npy", np.ones((3, 5), np.float32))
        self.assertIn("has width 5, ", self.convert([wide], "adapter", status=1))
        mixed = [self.npy("a.npy", _PROMPTS[0]), self.npy("b.npy", _PROMPTS[1][:2])]
        self.assertIn("has 2 positions, that in", self.convert(mixed, "adapter", status=1))
        self.assertFalse(os.path.exists(self.path("adapter")))

    def test_wrong_usage(self):
        prompt = self.npy("a.npy", _PROMPTS[0])
        self.convert([prompt], "adapter")
        self.assertIn(
            "--base_model is not set", self.convert([prompt], "b", status=2, base_model=None)
        )
        self.assertIn("is no adapter", self.convert([prompt], "b", status=2, task=0))
        self.assertIn("--input is not set", self.convert([], "b", status=2))
        both = [prompt, self.path("adapter")]
        self.assertIn("must be the only --input", self.convert(both, "b", status=2))


if __name__ == "__main__":
    absltest.main()
