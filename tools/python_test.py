# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import os
import sys
from unittest import mock

from absl.testing import absltest

from tools import python


class PythonTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(sys, "argv", list(sys.argv)))
        self.enter_context(mock.patch.object(sys, "path", list(sys.path)))

    def output(self, arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            python.run(arguments)
        return out.getvalue()

    def test_runs_a_script_with_its_arguments(self):
        script = self.create_tempfile(
            "script.py", "import sys\nprint(__name__, sys.argv[1:])"
        ).full_path
        self.assertEqual(self.output([script, "a", "--b"]), "__main__ ['a', '--b']\n")

    def test_a_script_imports_its_neighbours(self):
        folder = self.create_tempdir()
        folder.create_file("neighbour_of_script.py", "VALUE = 7")
        script = folder.create_file(
            "main.py", "import neighbour_of_script\nprint(neighbour_of_script.VALUE)"
        )
        self.assertEqual(self.output([script.full_path]), "7\n")

    def test_runs_code_and_modules(self):
        self.assertEqual(self.output(["-c", "import sys; print(sys.argv)", "x"]), "['-c', 'x']\n")
        with self.assertRaises(SystemExit):  # argparse leaves after printing the help
            self.output(["-m", "json.tool", "-h"])

    def test_loads_the_native_op(self):
        code = "from data_ops.tokenizer import tokenizer_module as m; print(m.Tokenizer.__name__)"
        self.assertEqual(self.output(["-c", code]), "Tokenizer\n")

    def test_missing_script_ends_in_one_line(self):
        with self.assertRaisesRegex(SystemExit, "error: there is no script .*nowhere.py"):
            python.run(["nowhere.py"])
        with self.assertRaisesRegex(SystemExit, "error: -m needs an argument"):
            python.run(["-m"])

    def test_working_tree_goes_first_and_the_scripts_folder_away(self):
        folder = os.path.realpath(self.create_tempdir().full_path)
        self.assertEqual(python.import_path([folder, "/a"], folder, "/tree"), ["/tree", "/a"])
        self.assertEqual(python.import_path([folder, "/a"], folder, None), ["/a"])


if __name__ == "__main__":
    absltest.main()
