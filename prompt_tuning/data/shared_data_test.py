# SPDX-License-Identifier: Apache-2.0
import os
import unittest
from unittest import mock

from absl.testing import absltest

from prompt_tuning.data import shared_data


class SharedDataTest(absltest.TestCase):
    def test_variable_names_the_folder(self):
        folder = self.create_tempdir().full_path
        path = os.path.join(folder, "there")
        with mock.patch.dict(os.environ, {shared_data.VARIABLE: folder}):
            with self.assertRaisesRegex(unittest.SkipTest, "set PROMPT_TUNING_SHARED_DATA"):
                shared_data.require(self, "there")
            with open(path, "wb"):
                pass
            self.assertEqual(shared_data.require(self, "there"), path)


if __name__ == "__main__":
    absltest.main()
