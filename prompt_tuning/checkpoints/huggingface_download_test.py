# SPDX-License-Identifier: Apache-2.0
"""Tests of names of the hub, without a network: huggingface_hub is a stand-in."""

import os
import sys
import types
from unittest import mock

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import huggingface_download


class LocalFolderTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.calls = []

    def hub(self, *files, error=None):
        def snapshot_download(name, allow_patterns):
            self.calls.append((name, allow_patterns))
            if error:
                raise error
            for file in files:
                if any(file == p or (p[0] == "*" and file.endswith(p[1:])) for p in allow_patterns):
                    with open(os.path.join(self.folder, file), "w"):
                        pass
            return self.folder

        module = types.ModuleType("huggingface_hub")
        module.snapshot_download = snapshot_download
        return mock.patch.dict(sys.modules, {"huggingface_hub": module})

    def test_a_folder_is_itself(self):
        with self.hub():
            self.assertEqual(huggingface_download.local_folder(self.folder), self.folder)
        self.assertEmpty(self.calls)

    @parameterized.parameters("google/t5-small-lm-adapt", "t5-small")
    def test_safetensors_alone_are_fetched_where_there_are_some(self, name):
        with self.hub("config.json", "model.safetensors", "pytorch_model.bin"):
            self.assertEqual(huggingface_download.local_folder(name), self.folder)
        self.assertCountEqual(os.listdir(self.folder), ["config.json", "model.safetensors"])
        self.assertEqual([call[0] for call in self.calls], [name])

    def test_else_the_pickles(self):
        with self.hub("config.json"):
            huggingface_download.local_folder("google/t5-small-lm-adapt")
        self.assertLen(self.calls, 2)
        self.assertIn("pytorch_model*.bin", self.calls[1][1])

    @parameterized.parameters("/no/such/folder", "./model", "a/b/c", "models/t5 small", "")
    def test_no_name_of_the_hub(self, path):
        with self.hub():
            with self.assertRaisesRegex(FileNotFoundError, "does not exist"):
                huggingface_download.local_folder(path)
        self.assertEmpty(self.calls)

    def test_without_the_library(self):
        with mock.patch.dict(sys.modules, {"huggingface_hub": None}):
            with self.assertRaisesRegex(
                FileNotFoundError, "google/t5 does not exist; .* install hug"
            ):
                huggingface_download.local_folder("google/t5")

    def test_what_the_hub_does_not_give(self):
        with self.hub(error=RuntimeError("404\nsecond line")):
            with self.assertRaisesRegex(OSError, "google/t5 does not exist, and .* it: 404$"):
                huggingface_download.local_folder("google/t5")


if __name__ == "__main__":
    absltest.main()
