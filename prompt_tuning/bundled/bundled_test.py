# SPDX-License-Identifier: Apache-2.0
import os
from unittest import mock

from absl.testing import absltest

from prompt_tuning.bundled import bundled


def _bytes_below(folder: str) -> int:
    return sum(
        os.path.getsize(os.path.join(root, name))
        for root, _, names in os.walk(folder)
        for name in names
    )


class BundledTest(absltest.TestCase):
    def test_paths_are_absolute_and_there(self):
        for path in (bundled.checkpoint_path(), bundled.vocabulary_path()):
            self.assertTrue(os.path.isabs(path))
            self.assertTrue(os.path.exists(path), msg=path)

    def test_files_are_small(self):
        self.assertLess(_bytes_below(bundled.checkpoint_path()), 8 * 2**20)
        self.assertLess(os.path.getsize(bundled.vocabulary_path()), 300_000)

    def test_sizes_cannot_be_changed_by_accident(self):
        with self.assertRaises(TypeError):
            bundled.SIZES["emb_dim"] = 1

    def test_programs_write_to_the_workspace(self):
        with mock.patch.dict(os.environ, {"BUILD_WORKSPACE_DIRECTORY": "/a"}):
            self.assertEqual(bundled.source_folder(), "/a/prompt_tuning/bundled")
        with mock.patch.dict(os.environ):
            os.environ.pop("BUILD_WORKSPACE_DIRECTORY", None)
            self.assertEqual(bundled.source_folder(), os.path.dirname(bundled.vocabulary_path()))


if __name__ == "__main__":
    absltest.main()
