# SPDX-License-Identifier: Apache-2.0
"""Tests of the functions that gin files get as `gin_utils`."""

import os
from unittest import mock

import gin
from absl.testing import absltest

from prompt_tuning.config import aliases, gin_functions

_TEXT = """
from __gin__ import dynamic_registration
from t5x import gin_utils
A = 2
gin_utils.sum_fn.var1 = %A
gin_utils.sum_fn.var2 = 3
gin_utils.bool_fn.var1 = 0
"""


class GinFunctionsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gin.clear_config)
        with aliases.installed():
            gin.parse_config(_TEXT)

    def test_values(self):
        self.assertEqual(gin_functions.sum_fn([1], [2]), [1, 2])
        self.assertIs(gin_functions.bool_fn("x"), True)
        self.assertEqual(gin_functions.string_split_fn("a/b/c", "/"), ["a", "b", "c"])
        self.assertEqual(gin_functions.string_split_fn("a/b/c", "/", 1, 1), "b/c")

    def test_only_what_was_called_is_operative(self):
        self.assertEqual(gin.get_configurable(gin_functions.sum_fn)(), 5)
        text = gin_functions.operative_config()
        self.assertIn("from t5x import gin_utils", text)
        self.assertIn("gin_utils.sum_fn.var2 = 3", text)
        self.assertNotIn("bool_fn", text)
        self.assertIn("bool_fn", gin_functions.parsed_config())

    def test_the_text_can_be_parsed_again(self):
        text = gin_functions.parsed_config()
        gin.clear_config()
        with aliases.installed():
            gin.parse_config(text)
        self.assertEqual(gin_functions.parsed_config(), text)

    def test_bindings_of_a_function(self):
        bound = gin_functions.bindings_of(gin_functions.sum_fn)
        self.assertEqual(bound, {"var1": "2", "var2": "3"})
        self.assertEqual(gin_functions.bindings_of(len), {})

    def test_bindings_of_a_function_in_a_scope(self):
        with aliases.installed():
            gin.parse_config("a/gin_utils.sum_fn.var2 = 7\nb = @a/gin_utils.sum_fn")
            scoped = gin.query_parameter("%b").scoped_configurable_fn
        self.assertEqual(scoped(), 9)
        (bound,) = gin_functions.bindings_of(scoped).values()
        self.assertIn("a/gin_utils.sum_fn.var2 = 7", bound)

    def test_bindings_are_text_without_addresses(self):
        with aliases.installed():
            gin.parse_config("gin_utils.sum_fn.var2 = @gin_utils.bool_fn")
        bound = gin_functions.bindings_of(gin_functions.sum_fn)
        self.assertEqual(bound["var2"], "<function bool_fn>")

    def test_config_gin_is_written_whole_and_alone(self):
        gin.get_configurable(gin_functions.sum_fn)()
        folder = os.path.join(self.create_tempdir().full_path, "new")
        gin_functions.summarize_gin_config(folder, None, 7)
        self.assertEqual(os.listdir(folder), ["config.gin"])
        with open(os.path.join(folder, "config.gin"), encoding="utf-8") as file:
            self.assertEqual(file.read(), gin_functions.operative_config())
        gin_functions.summarize_gin_config(folder)  # Again, over the old one.
        self.assertEqual(os.listdir(folder), ["config.gin"])

    def test_tensorboard_gets_the_text_as_config(self):
        gin.get_configurable(gin_functions.sum_fn)()
        writer = mock.Mock()
        gin_functions.summarize_gin_config(self.create_tempdir().full_path, writer, 7)
        (step, texts), _ = writer.write_texts.call_args
        self.assertEqual((step, list(texts)), (7, ["config"]))
        self.assertIn("    gin_utils.sum_fn.var2 = 3", texts["config"])


if __name__ == "__main__":
    absltest.main()
