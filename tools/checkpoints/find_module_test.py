# SPDX-License-Identifier: Apache-2.0
"""Tests of find_module."""

import json
import os

from absl.testing import absltest, parameterized

from prompt_tuning.checkpoints import paths
from tools.checkpoints import command_line, find_module


class FindModuleTest(parameterized.TestCase):
    def test_a_package_is_its_folder(self):
        self.assertEqual(find_module.module_folder("json"), os.path.dirname(json.__file__))

    def test_a_module_is_in_its_folder(self):
        folder = find_module.module_folder("prompt_tuning.checkpoints.paths")
        self.assertEqual(folder, os.path.dirname(os.path.abspath(paths.__file__)))

    def test_a_package_without_a_file(self):
        self.assertTrue(
            os.path.isdir(os.path.join(find_module.module_folder("prompt_tuning"), "checkpoints"))
        )

    @parameterized.parameters(
        ("nump", "nearest are .*numpy"),
        ("json.no.such", "no module"),
        ("", "no module"),
        ("sys", "built into"),
    )
    def test_what_is_not_found(self, name, message):
        with self.assertRaisesRegex(ValueError, message):
            find_module.module_folder(name)

    def test_one_argument_is_needed(self):
        self.assertEqual(command_line.status(find_module.main, ["find_module"]), 2)


if __name__ == "__main__":
    absltest.main()
