# SPDX-License-Identifier: Apache-2.0
"""Tests of finding a parameter and saving an array."""

import os

import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import t5x_format
from tools.checkpoints import variables


class VariablesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.table = np.arange(6, dtype=np.float32).reshape(3, 2)
        target = {"token_embedder/embedding": self.table, "encoder/scale": np.ones(2, np.float32)}
        t5x_format.write_checkpoint(self.root, 1, target)
        self.checkpoint = t5x_format.open_checkpoint(self.root)

    @parameterized.parameters("", "/", "target/", "/target/")
    def test_prefixes_are_optional(self, prefix):
        found = variables.find_variable(self.checkpoint, f"{prefix}token_embedder/embedding", "v")
        np.testing.assert_array_equal(found.get(), self.table)

    @parameterized.parameters(
        (
            "token_embedder/embeddings",
            "--variable_path .* 2 parameters, .* token_embedder/embedding",
        ),
        ("xyz", "nearest are encoder/scale"),
    )
    def test_unknown_names(self, name, message):
        with self.assertRaisesRegex(ValueError, message):
            variables.find_variable(self.checkpoint, name, "variable_path")

    def test_save_adds_no_suffix_and_makes_the_folder(self):
        path = os.path.join(self.root, "new", "file")
        variables.save_array(path, self.table)
        np.testing.assert_array_equal(np.load(path), self.table)


if __name__ == "__main__":
    absltest.main()
