# SPDX-License-Identifier: Apache-2.0
"""Tests of reading gin files as text."""

import os
import sys

from absl.testing import absltest, parameterized

from prompt_tuning.config import gin_files

_DYNAMIC = "from __gin__ import dynamic_registration\n"


class GinFilesTest(parameterized.TestCase):
    def write(self, name: str, text: str) -> str:
        return self.create_tempfile(f"configs/{name}", _DYNAMIC + text).full_path

    def folder(self) -> str:
        return os.path.join(self.create_tempdir("configs").full_path)

    def test_later_files_and_then_the_command_line_come_last(self):
        first = self.write("a.gin", "SIZE = 1\n")
        second = self.write("b.gin", "SIZE = 2\n")
        statements = gin_files.read([first, second], ["SIZE = 3"])
        self.assertEqual([b.value for b in statements.bindings], [1, 2, 3])
        self.assertEqual(statements.files, [first, second])
        self.assertEqual(str(statements.bindings[1].place), f"{second}:2")
        self.assertEqual(str(statements.bindings[2].place), "the command line")

    def test_includes_are_read_where_they_stand(self):
        self.write("inner.gin", "B = 2\n")
        outer = self.write("outer.gin", "A = 1\ninclude 'inner.gin'\nC = 3\n")
        statements = gin_files.read([outer], (), [os.path.dirname(outer)])
        self.assertEqual([b.name for b in statements.bindings], ["A", "B", "C"])

    def test_include_circle(self):
        path = self.write("circle.gin", "include 'circle.gin'\n")
        with self.assertRaisesRegex(ValueError, "includes itself"):
            gin_files.read([path], (), [os.path.dirname(path)])

    @parameterized.parameters(
        ("import json\n", "json.dumps", "json", "json.dumps", "json.dumps"),
        ("import json.decoder\n", "json.decoder.D", "json", "json.decoder.D", "json.decoder.D"),
        ("from t5x import utils\n", "utils.A.b", "t5x.utils", "t5x.utils.A.b", "t5x.utils.A.b"),
        ("from t5x import utils as u\n", "u.A", "t5x.utils", "t5x.utils.A", "t5x.u.A"),
        ("import __main__ as run\n", "run.train", "__main__", "__main__.train", "run.train"),
    )
    def test_selectors_resolve_by_the_imports_of_their_file(
        self, imports, text, module, full, registered
    ):
        path = self.write("imports.gin", f"{imports}{text}.argument = 1\nX = @{text}()\n")
        binding, macro = gin_files.read([path]).bindings
        expected = gin_files.Selector(text, module, full, registered)
        self.assertEqual(binding.selector, expected)
        self.assertEqual(macro.references, (expected,))

    def test_scopes_and_blocks(self):
        text = "train/utils.D:\n  a = 1\n  b = [%X, {'k': @utils.E}]\n"
        path = self.write("blocks.gin", f"from t5x import utils\n{text}")
        first, second = gin_files.read([path]).bindings
        self.assertEqual(first.name, "train/utils.D.a")
        self.assertEqual(first.key, ("train", "t5x.utils.D", "a"))
        self.assertEqual([r.full for r in second.references], ["t5x.utils.E"])
        self.assertIn(gin_files.MacroReference("X"), list(gin_files.flatten(second.value)))

    def test_imports_are_listed_without_the_gin_features(self):
        path = self.write("imports.gin", "import json\nfrom t5x import utils\n")
        statements = gin_files.read([path])
        self.assertEqual([i.module for i in statements.imports], ["json", "t5x.utils"])
        self.assertEqual(str(statements.imports[1].place), f"{path}:3")

    def test_nothing_that_a_file_names_is_imported(self):
        path = self.write("imports.gin", "import no_such_module_anywhere\nimport wave\n")
        sys.modules.pop("wave", None)
        gin_files.read([path])
        self.assertNotIn("wave", sys.modules)

    def test_syntax_error_has_file_and_line(self):
        path = self.write("wrong.gin", "A = 1\nB = [1, 2\nC = = 3\n")
        with self.assertRaisesRegex(ValueError, f"syntax error at {path}:[34]: "):
            gin_files.read([path])

    def test_open_bracket(self):
        path = self.write("open.gin", "A = [1, 2\n")
        with self.assertRaisesRegex(ValueError, f"syntax error at {path}:[123]: EOF"):
            gin_files.read([path])
        with self.assertRaisesRegex(ValueError, "binding 'A = \\[1'.*EOF.*not closed: --gin.A"):
            gin_files.read([], ["A = [1"])

    def test_binary_file(self):
        path = self.create_tempfile("binary.gin", b"\x80\x81", mode="wb").full_path
        with self.assertRaisesRegex(ValueError, "byte 0 is not UTF-8"):
            gin_files.read([path])

    def test_unquoted_text_on_the_command_line_says_how_to_quote(self):
        with self.assertRaisesRegex(ValueError, "--gin.MODEL_DIR=\"'/tmp/x'\""):
            gin_files.read([], ["MODEL_DIR = /tmp/x"])

    def test_search_paths_in_order_then_this_projects(self):
        one = self.create_tempfile("one/same.gin", "A = 1\n").full_path
        two = self.create_tempfile("two/same.gin", "A = 2\n").full_path
        paths = [os.path.dirname(two), os.path.dirname(one), *gin_files.DEFAULT_SEARCH_PATHS]
        self.assertEqual(gin_files.resolve("same.gin", paths), two)
        sizes = "prompt_tuning/configs/models/sizes/base.gin"
        for name in (sizes, "t5x/configs/runs/finetune.gin"):
            self.assertTrue(os.path.isfile(gin_files.resolve(name, paths)), name)
        self.assertEqual(gin_files.resolve(one, paths), one)

    @parameterized.parameters(
        ("prompt_tuning/configs/models/t5_1_1_bse_prompt.gin", "models/t5_1_1_base_prompt.gin"),
        ("configs/prompt_finetune.gin", "prompt_tuning/configs/runs/prompt_finetune.gin"),
    )
    def test_missing_file_names_the_nearest_and_the_flag(self, name, nearest):
        with self.assertRaisesRegex(FileNotFoundError, rf"did you mean .*{nearest}.*--gin_file"):
            gin_files.read([name])

    def test_missing_file_without_a_neighbour_names_the_places(self):
        with self.assertRaises(FileNotFoundError) as caught:
            gin_files.read(["qqqqqqqq"], (), ["/some/where"])
        self.assertIn("/some/where", str(caught.exception))
        self.assertNotIn("did you mean", str(caught.exception))

    def test_shipped_files_are_spelled_as_gin_file_takes_them(self):
        shipped = gin_files.shipped_files()
        self.assertIn("prompt_tuning/configs/runs/prompt_finetune.gin", shipped)
        for name in shipped:
            self.assertTrue(os.path.isfile(gin_files.resolve(name, gin_files.DEFAULT_SEARCH_PATHS)))


if __name__ == "__main__":
    absltest.main()
