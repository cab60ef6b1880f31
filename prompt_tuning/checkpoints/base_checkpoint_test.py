# SPDX-License-Identifier: Apache-2.0
"""Tests of opening a base model of either format."""

import os
from unittest import mock

import numpy as np
from absl.testing import absltest

from prompt_tuning.checkpoints import (
    base_checkpoint,
    huggingface_download,
    huggingface_format,
    scanned_layers,
    t5x_format,
    toy_t5,
    vocabulary_files,
)


class OpenBaseTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.arrays = toy_t5.parameters()

    def assert_is_the_model(self, checkpoint):
        found = t5x_format.read_arrays(checkpoint.target())
        self.assertCountEqual(found, self.arrays)
        for name, value in self.arrays.items():
            np.testing.assert_array_equal(found[name], value, name)

    def test_huggingface(self):
        files = {"model.safetensors": toy_t5.tensors(self.arrays)}
        toy_t5.write_folder(self.root, files)
        checkpoint = base_checkpoint.open_base(self.root)
        self.assertIsInstance(checkpoint, huggingface_format.HuggingFaceCheckpoint)
        self.assert_is_the_model(checkpoint)

    def test_a_name_of_the_hub(self):
        files = {"model.safetensors": toy_t5.tensors(self.arrays)}
        toy_t5.write_folder(self.root, files)
        with mock.patch.object(huggingface_download, "local_folder", return_value=self.root) as hub:
            self.assert_is_the_model(base_checkpoint.open_base("google/t5-small-lm-adapt"))
        hub.assert_called_once_with("google/t5-small-lm-adapt")

    def test_t5x(self):
        for step in (3, 8):
            t5x_format.write_checkpoint(self.root, step, self.arrays)
        self.assert_is_the_model(base_checkpoint.open_base(self.root))
        self.assertEqual(base_checkpoint.open_base(self.root).step, 8)
        self.assertEqual(base_checkpoint.open_base(self.root, 3).step, 3)
        self.assertEqual(base_checkpoint.open_base(os.path.join(self.root, "checkpoint_3")).step, 3)

    def test_scanned_t5x(self):
        leaves = {f"target/{name}": leaf for name, leaf in toy_t5.lazy(self.arrays).items()}
        stacked = scanned_layers.stack(leaves)
        target = {name.removeprefix("target/"): leaf for name, leaf in stacked.items()}
        t5x_format.write_checkpoint("memory://scanned", 0, target)
        self.assert_is_the_model(base_checkpoint.open_base("memory://scanned"))

    def test_huggingface_without_its_config(self):
        files = {"model.safetensors": toy_t5.tensors(self.arrays)}
        toy_t5.write_folder(self.root, files)
        os.remove(os.path.join(self.root, "config.json"))
        with self.assertRaisesRegex(ValueError, "its config.json must lie beside them"):
            base_checkpoint.open_base(self.root)

    def test_nothing_there(self):
        with self.assertRaisesRegex(FileNotFoundError, "/no/such/model does not exist"):
            base_checkpoint.open_base("/no/such/model")


class DescribeTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.arrays = toy_t5.parameters()
        self.expected = {
            "vocab_size": 12,
            "emb_dim": 4,
            "num_heads": 2,
            "head_dim": 3,
            "mlp_dim": 10,
            "num_encoder_layers": 1,
            "num_decoder_layers": 2,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 128,
            "mlp_activations": ("gelu", "linear"),
            "logits_via_embedding": False,
        }

    def test_huggingface(self):
        files = {"model.safetensors": toy_t5.tensors(self.arrays)}
        changes = {"feed_forward_proj": "gated-silu", "dense_act_fn": "silu"}
        toy_t5.write_folder(self.root, files, relative_attention_max_distance=20, **changes)
        found = base_checkpoint.describe(self.root)
        changed = {"mlp_activations": ("silu", "linear"), "relative_attention_max_distance": 20}
        self.assertEqual(found, base_checkpoint.Description(self.expected | changed))

    def test_vocabulary(self):
        toy_t5.write_folder(self.root, {"model.safetensors": toy_t5.tensors(self.arrays)})
        path = os.path.join(self.root, "spiece.model")
        with open(path, "wb"):
            pass
        with mock.patch.object(vocabulary_files, "extra_ids", return_value=7) as extra_ids:
            found = base_checkpoint.describe(self.root)
        extra_ids.assert_called_once_with(path, 12)
        self.assertEqual((found.vocabulary_file, found.extra_ids), (path, 7))

    def test_t5x_with_a_prompt(self):
        prompt = {"encoder/prompt/prompt/prompt": np.zeros((3, 4), np.float32)}
        t5x_format.write_checkpoint(self.root, 1, self.arrays | prompt)
        found = base_checkpoint.describe(self.root)
        self.assertEqual(found, base_checkpoint.Description(self.expected))

    def test_what_is_no_t5(self):
        t5x_format.write_checkpoint(self.root, 1, {"w": np.zeros(3, np.float32)})
        with self.assertRaisesRegex(ValueError, "holds no whole T5: .*query/kernel is missing"):
            base_checkpoint.describe(self.root)


if __name__ == "__main__":
    absltest.main()
