# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
import sysconfig
from unittest import mock

from absl.testing import absltest, parameterized

from third_party.python import inspect_environment


class InspectEnvironmentTest(parameterized.TestCase):
    def test_this_environment(self):
        facts = inspect_environment.describe()
        self.assertEqual(facts["version"], [sys.version_info.major, sys.version_info.minor])
        self.assertEqual(facts["executable"], sys.executable)
        # The environment was made by venv, and our modules were compiled with both.
        self.assertTrue(facts["has_venv"])
        self.assertTrue(facts["has_headers"])
        self.assertTrue(os.path.exists(os.path.join(facts["pybind11_include"], "pybind11")))

    @parameterized.parameters("venv", "ensurepip")
    def test_debian_without_python3_venv(self, missing):
        find = inspect_environment.importlib.util.find_spec
        with mock.patch.object(
            inspect_environment.importlib.util,
            "find_spec",
            lambda name: None if name == missing else find(name),
        ):
            self.assertFalse(inspect_environment.describe()["has_venv"])

    def test_debian_without_python3_dev(self):
        folder = self.create_tempdir()
        with mock.patch.object(sysconfig, "get_paths", return_value={"include": folder.full_path}):
            self.assertFalse(inspect_environment.describe()["has_headers"])
            folder.create_file("Python.h")
            self.assertTrue(inspect_environment.describe()["has_headers"])

    def test_starts_where_nothing_is_installed(self):
        # -S: without the packages of the environment.
        command = [sys.executable, "-I", "-S", inspect_environment.__file__]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.assertIsNone(json.loads(printed)["pybind11_include"])


if __name__ == "__main__":
    absltest.main()
