# SPDX-License-Identifier: Apache-2.0
"""Tests of T5X's gin flags and of parsing."""

import gin
import gin.config
from absl import flags
from absl.testing import absltest, parameterized

from prompt_tuning.config import gin_flags, partitioning

_DYNAMIC = "from __gin__ import dynamic_registration\n"
_PART = _DYNAMIC + "from t5x import partitioning\n"


class GinFlagsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(gin.clear_config)

    def parse(self, text, bindings=()):
        self.path = self.create_tempfile("a.gin", text).full_path
        gin_flags.parse_gin([self.path], bindings, [])

    def test_flags_and_defaults_of_t5x(self):
        values = flags.FlagValues()
        gin_flags.define_flags(values)
        gin_flags.define_flags(values)  # Again does nothing.
        values(["program"])
        self.assertEqual(
            {name: values[name].value for name in gin_flags.FLAG_NAMES},
            {
                "gin_file": None,
                "gin_bindings": [],
                "gin_search_paths": ["."],
                "tfds_data_dir": None,
                "seqio_additional_cache_dirs": [],
                "dry_run": False,
                "debug": False,
            },
        )

    def test_flags_repeat_and_split_as_in_t5x(self):
        values = flags.FlagValues()
        gin_flags.define_flags(values)
        args = ["--gin_file=a", "--gin_file=b", "--gin_search_paths=x,y"]
        args += ["--gin.A=1", "--gin.B='c=d'"]
        values(["program", *gin_flags.rewrite_gin_args(args)])
        self.assertEqual(values.gin_file, ["a", "b"])
        self.assertEqual(values.gin_search_paths, ["x", "y"])
        self.assertEqual(values.gin_bindings, ["A = 1", "B = 'c=d'"])

    @parameterized.parameters(
        (["--gin.A.b=1"], ["--gin_bindings=A.b = 1"]),
        (["--gin.train/u.D.seed=None", "-x"], ["--gin_bindings=train/u.D.seed = None", "-x"]),
        (["--gin_file=a", "--ginx"], ["--gin_file=a", "--ginx"]),
        (["--gin.A="], ["--gin_bindings=A = "]),
    )
    def test_rewriting(self, args, expected):
        self.assertEqual(gin_flags.rewrite_gin_args(args), expected)

    @parameterized.parameters("--gin.A", "--gin.=3")
    def test_rewriting_without_a_value(self, arg):
        with self.assertRaisesRegex(ValueError, f"{arg}' has no value; write --gin.NAME=VALUE"):
            gin_flags.rewrite_gin_args([arg])

    def test_the_users_folders_come_first(self):
        paths = gin_flags.search_paths(["a", "b"])
        self.assertEqual(paths[:2], ["a", "b"])
        self.assertTrue(paths[-1].endswith("prompt_tuning/configs"))

    def test_parse_binds_and_command_line_wins(self):
        self.parse(_PART + "partitioning.PjitPartitioner.backend = 'cpu'\nA = 1\n", ["A = 2"])
        self.assertEqual(gin.query_parameter("%A"), 2)
        made = gin.get_configurable(partitioning.PjitPartitioner)()
        self.assertEqual(made.backend, "cpu")
        self.assertTrue(gin.config_is_locked())

    def test_parsing_leaves_gins_search_as_it_was(self):
        before = gin.config._LOCATION_PREFIXES[:], gin.config._FILE_READERS[:]
        self.parse("A = 1\n")
        self.assertEqual((gin.config._LOCATION_PREFIXES, gin.config._FILE_READERS), before)

    @parameterized.parameters(
        (
            "partitioning.PjitPartitioner.num_partition = 1\n",
            "a.gin:3: .*named 'num_partition'; did you mean num_partitions",
        ),
        (
            "import json\njson.dumpss.x = 1\n",
            "a.gin:4: json has no 'dumpss'; did you mean dumps",
        ),
        ("utils.DatasetConfig.seed = 1\n", "a.gin:3: 'utils' was not provided by an import"),
    )
    def test_errors_are_one_line_with_the_place(self, text, pattern):
        with self.assertRaisesRegex(ValueError, pattern) as caught:
            self.parse(_PART + text)
        self.assertNotIn("\n", str(caught.exception))

    def test_an_error_in_an_include_names_the_inner_file(self):
        inner = self.create_tempfile("inner.gin", _PART + "partitioning.Pjit.a = 1\n").full_path
        with self.assertRaisesRegex(ValueError, f"^{inner}:3: .*'Pjit'"):
            self.parse(f"include '{inner}'\n")

    def test_one_line(self):
        self.assertEqual(gin_flags.one_line("a\n  b"), "a b")
        message = "no\n  In call to configurable 'train' (<function train>)"
        self.assertEqual(gin_flags.one_line(message), "no")
        message = 'no\n  In file "x.gin", line 3\n    A = 1\n  In file "y.gin", line 1\n'
        self.assertEqual(gin_flags.one_line(message), "x.gin:3: no")
        self.assertEqual(gin_flags.one_line("no\n  In bindings string line 1\n    A"), "no")


if __name__ == "__main__":
    absltest.main()
