# SPDX-License-Identifier: Apache-2.0
"""Tests of convert_checkpoint: each format to each other."""

import contextlib
import dataclasses
import io
import os
import re

import ml_dtypes
import numpy as np
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.checkpoints import (
    huggingface_config,
    huggingface_format,
    scanned_layers,
    t5x_format,
    toy_t5,
)
from tools.checkpoints import command_line, convert_checkpoint


def _files(folder: str) -> dict[str, bytes]:
    """Relative path -> bytes of every file of a folder."""
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


class ConvertTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.arrays = toy_t5.parameters()
        self.enter_context(flagsaver.flagsaver())

    def path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def convert(self, source: str, to: str, output: str, status: int = 0, **settings) -> str:
        settings = {"input": self.path(source), "to": to, "output": self.path(output)} | settings
        with flagsaver.flagsaver(**settings):
            found = command_line.status(convert_checkpoint.main, ["convert_checkpoint"])
        self.assertEqual(found, status)
        return self.path(output)

    def folder(self, name: str, dtype="float32", **changes) -> str:
        arrays = {k: v.astype(np.dtype(dtype)) for k, v in self.arrays.items()}
        files = {"model.safetensors": toy_t5.tensors(arrays)}
        toy_t5.write_folder(self.path(name), files, **changes)
        return self.path(name)

    @parameterized.product(to=("t5x", "t5x_scanned"), dtype=("float32", "bfloat16", "float16"))
    def test_huggingface_there_and_back_is_bit_exact(self, to, dtype):
        source = self.folder("hf", dtype, relative_attention_max_distance=128)
        self.convert("hf", to, "native")
        self.assertEqual(t5x_format.checkpoint_steps(self.path("native")), [0])
        back = self.convert("native", "huggingface", "back")
        expected = huggingface_format.open_checkpoint(source)
        found = huggingface_format.open_checkpoint(back)
        self.assertEqual(found.config, expected.config)
        self.assertCountEqual(found.leaves, expected.leaves)
        for name, leaf in expected.leaves.items():
            self.assertEqual(found.leaves[name].dtype, dtype)
            self.assertEqual(found.leaves[name].get().tobytes(), leaf.get().tobytes(), name)

    @parameterized.parameters((True, True), (False, False), (True, False))
    def test_t5x_there_and_back_is_the_same_files(self, gated, own_head):
        sizes = dataclasses.replace(toy_t5.SIZES, gated=gated, own_head=own_head)
        source = t5x_format.write_checkpoint(self.path("native"), 7, toy_t5.parameters(sizes))
        self.convert("native", "huggingface", "hf", shard_gb=1e-6)
        self.assertGreater(len(os.listdir(self.path("hf"))), 4)
        self.convert("hf", "t5x", "back", step=7)
        self.assertEqual(_files(os.path.join(self.path("back"), "checkpoint_7")), _files(source))

    @parameterized.parameters(
        (True, {}, "assumed: --feed_forward_proj=gated-gelu"),
        (False, {}, "assumed: --feed_forward_proj=relu"),
        (True, {"feed_forward_proj": "gated-silu"}, None),
    )
    def test_an_activation_that_was_assumed_is_told(self, gated, settings, told):
        sizes = dataclasses.replace(toy_t5.SIZES, gated=gated)
        t5x_format.write_checkpoint(self.path("native"), 7, toy_t5.parameters(sizes))
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.convert("native", "huggingface", "hf", **settings)
        self.assertEqual(told or "", "".join(re.findall(r"assumed: \S+\b", said.getvalue())))

    def test_scanned_there_and_back_is_the_same_files(self):
        source = t5x_format.write_checkpoint(self.path("native"), 7, self.arrays)
        self.convert("native", "t5x_scanned", "scanned")
        scanned = t5x_format.open_checkpoint(self.path("scanned"))
        self.assertEqual(scanned.step, 7)
        stacked = scanned.target()["decoder/decoder/mlp/wo/kernel"]
        layers = [self.arrays[f"decoder/layers_{i}/mlp/wo/kernel"] for i in range(2)]
        np.testing.assert_array_equal(stacked.get(), np.stack(layers, scanned_layers.SCAN_AXIS))
        self.convert("scanned", "t5x", "back")
        self.assertEqual(_files(os.path.join(self.path("back"), "checkpoint_7")), _files(source))

    def test_another_dtype(self):
        self.folder("hf")
        self.convert("hf", "huggingface", "small", save_dtype="bfloat16")
        target = huggingface_format.open_checkpoint(self.path("small")).target()
        for name, value in self.arrays.items():
            expected = value.astype(ml_dtypes.bfloat16)
            np.testing.assert_array_equal(target[name].get(), expected)

    def test_what_huggingface_says_beyond_the_weights_is_kept(self):
        source = self.folder(
            "hf", model_type="mt5", feed_forward_proj="gated-silu", dense_act_fn="silu"
        )
        with open(os.path.join(source, "spiece.model"), "wb") as file:
            file.write(b"pieces")
        self.convert("hf", "huggingface", "again")
        found = huggingface_format.open_checkpoint(self.path("again"))
        self.assertEqual(found.config, huggingface_config.read_config(source))
        with open(found.vocabulary_file, "rb") as file:
            self.assertEqual(file.read(), b"pieces")

    def test_a_prompt_stays_behind_and_so_does_the_optimizer(self):
        prompt = "encoder/prompt/prompt/prompt"
        target = self.arrays | {prompt: np.ones((3, 4), np.float32)}
        slots = {f"{prompt}/v": np.ones((3, 4), np.float32)}
        t5x_format.write_checkpoint(self.path("run"), 5, target, slots)
        model = convert_checkpoint.open_model(self.path("run"))
        self.assertEqual(model.prompts, (prompt,))
        self.convert("run", "huggingface", "hf")
        found = huggingface_format.open_checkpoint(self.path("hf")).target()
        self.assertCountEqual(found, self.arrays)

    def test_a_run_of_which_only_the_prompt_was_saved(self):
        prompt = {"encoder/prompt/prompt/prompt": np.ones((3, 4), np.float32)}
        folder = t5x_format.write_checkpoint(self.path("run"), 5, prompt)
        with self.assertRaisesRegex(ValueError, f"{folder} holds a prompt and no model.*--input"):
            convert_checkpoint.open_model(self.path("run"))

    def test_a_file_where_the_folder_should_be(self):
        self.folder("hf")
        self.create_tempfile(self.path("file"))
        model = convert_checkpoint.open_model(self.path("hf"))
        with self.assertRaisesRegex(ValueError, "file is a file; give the folder"):
            convert_checkpoint.write_model(model, self.path("file"), "t5x", lambda _: None)

    def test_the_step(self):
        t5x_format.write_checkpoint(self.path("run"), 5, self.arrays)
        t5x_format.write_checkpoint(self.path("run"), 9, self.arrays)
        self.convert("run", "t5x", "a")
        self.convert("run", "t5x", "a", step=5)
        self.assertEqual(t5x_format.checkpoint_steps(self.path("a")), [5, 9])
        self.convert("run", "t5x", "a", status=1)  # Step 9 is there already.

    def test_what_cannot_be_done_ends_with_1_and_wrong_usage_with_2(self):
        self.folder("hf")
        self.convert("nothing", "t5x", "out", status=1)
        self.convert("hf", "huggingface", "hf", status=1)
        self.convert("hf", None, "out", status=2)
        self.convert("hf", "huggingface", "out", status=1, feed_forward_proj="relu")
        self.assertFalse(os.path.exists(self.path("out")))


if __name__ == "__main__":
    absltest.main()
