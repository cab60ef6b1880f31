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

    def test_nothing_there(self):
        with self.assertRaisesRegex(FileNotFoundError, "/no/such/model does not exist"):
            base_checkpoint.open_base("/no/such/model")


if __name__ == "__main__":
    absltest.main()
