# SPDX-License-Identifier: Apache-2.0
"""Tests of what a base model and a prompt imply, with models of a few numbers."""

import os
import shutil
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.bundled import bundled
from prompt_tuning.checkpoints import huggingface_download, toy_t5
from prompt_tuning.config import friendly_flags, gin_files, implied_settings

_ARCHITECTURE = {
    "NUM_EMBEDDINGS": 12,
    "EMBED_DIM": 4,
    "NUM_HEADS": 2,
    "HEAD_DIM": 3,
    "MLP_DIM": 10,
    "NUM_ENCODER_LAYERS": 1,
    "NUM_DECODER_LAYERS": 2,
    "MLP_ACTIVATIONS": ("gelu", "linear"),
    "LOGITS_VIA_EMBEDDING": False,
    "RELATIVE_ATTENTION_NUM_BUCKETS": 8,
    "RELATIVE_ATTENTION_MAX_DISTANCE": 128,
}
_VOCABULARY = "seqio.SentencePieceVocabulary"


def _bindings(entry_point, given, *extra):
    given = implied_settings.resolved(given)
    files = friendly_flags.default_files(entry_point, given)
    made = friendly_flags.bindings(entry_point, given, gin_files.read(files))
    statements = gin_files.read(files, [*made, *extra])
    return dict(
        line.split(" = ", 1) for line in implied_settings.bindings(entry_point, given, statements)
    )


class ImpliedSettingsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        tensors = toy_t5.tensors(toy_t5.parameters())
        toy_t5.write_folder(self.root, {"model.safetensors": tensors})
        self.vocabulary = os.path.join(self.root, "spiece.model")
        shutil.copyfile(bundled.vocabulary_path(), self.vocabulary)
        self.architecture = {name: repr(value) for name, value in _ARCHITECTURE.items()}
        # The toy's table is too short for any sentinel.
        self.expected = self.architecture | {
            f"{_VOCABULARY}.sentencepiece_model_file": repr(self.vocabulary),
            f"{_VOCABULARY}.extra_ids": "0",
        }

    @parameterized.parameters(
        ("train", "base_model"),
        ("evaluate", "base_model"),
        ("infer", "base_model"),
        ("train", "initial_checkpoint"),
    )
    def test_architecture_of_a_base_model(self, entry_point, flag):
        self.assertEqual(_bindings(entry_point, {flag: self.root}), self.expected)

    @parameterized.parameters(("train", "INITIAL_CHECKPOINT_PATH"), ("evaluate", "CHECKPOINT_PATH"))
    def test_a_folder_that_gin_names(self, entry_point, macro):
        found = _bindings(entry_point, {"model": "t5_1_1_base"}, f"{macro} = {self.root!r}")
        self.assertEqual(found, self.expected)

    def test_other_models_imply_nothing(self):
        self.assertEqual(_bindings("train", {}), {})
        given = {"model": "t5_1_1_base", "initial_checkpoint": "gs://a/checkpoint_1"}
        self.assertEqual(_bindings("train", given), {})

    def test_vocabulary(self):
        given = {"base_model": self.root, "vocabulary": "v"}
        self.assertEqual(_bindings("train", given), self.architecture)
        os.remove(self.vocabulary)
        self.assertEqual(_bindings("train", given), self.architecture)
        with self.assertRaisesRegex(ValueError, "holds no spiece.model.*--vocabulary"):
            _bindings("train", {"base_model": self.root})

    def test_a_name_of_the_hub(self):
        with mock.patch.object(huggingface_download, "local_folder", return_value=self.root) as hub:
            found = implied_settings.resolved({"base_model": "google/t5-none"})
        hub.assert_called_once_with("google/t5-none")
        self.assertEqual(found["base_model"], self.root)

    @parameterized.parameters("model", "initial_checkpoint")
    def test_twice(self, name):
        with self.assertRaisesRegex(ValueError, f"--base_model=a says.*leave --{name}=b out"):
            implied_settings.resolved({"base_model": "a", name: "b"})

    def test_length_of_the_prompt(self):
        path = os.path.join(self.root, "prompt.npy")
        np.save(path, np.zeros((3, 4), np.float32))
        for flag in ("prompt_file", "model_dir"):
            self.assertEqual(_bindings("infer", {flag: path}), {"PROMPT_LENGTH": "3"})
        self.assertEqual(_bindings("infer", {"prompt_file": path, "prompt_length": 3}), {})
        self.assertEqual(_bindings("train", {"prompt_file": path}), {})

    def test_a_prompt_that_cannot_be_read_is_for_its_reader(self):
        path = os.path.join(self.root, "prompt.npy")
        np.save(path, np.zeros(3, np.float32))
        for name in (path, path + "none", self.root):
            self.assertEqual(_bindings("evaluate", {"prompt_file": name}), {})


if __name__ == "__main__":
    absltest.main()
