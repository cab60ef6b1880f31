# SPDX-License-Identifier: Apache-2.0
"""Tests of what stands in for names that are not here."""

from absl.testing import absltest, parameterized

from prompt_tuning.config import aliases, gin_checks, gin_files, replacements

_FILE = "from __gin__ import dynamic_registration\nfrom {package} import {module}\n{binding}\n"


class ReplacementsTest(parameterized.TestCase):
    def test_nothing_is_replaced_that_is_here(self):
        for module, name in replacements._REPLACEMENTS:
            self.assertIn(module, aliases.TABLE)
            self.assertNotIn(name, aliases.TABLE[module])

    def test_unknown_is_none(self):
        self.assertIsNone(replacements.replacement("t5x.utils", "DatasetConfg"))

    @parameterized.parameters(
        ("adafactor", "adafactor.standard_factor_rules.rules = None", "standard_logical_factor"),
        ("partitioning", "partitioning.ModelBasedPjitPartitioner.num_partitions = 1", "PjitPart"),
        ("optimizers", "X = @optimizers.adamw()", "use @adafactor.Adafactor"),
    )
    def test_a_gin_file_is_told(self, module, binding, pattern):
        text = _FILE.format(package="t5x", module=module, binding=binding)
        path = self.create_tempfile("user.gin", text).full_path
        with self.assertRaisesRegex(ValueError, f"user.gin:3: .* has no .* here: .*{pattern}"):
            gin_checks.check_imports(gin_files.read([path], (), ["."]))


if __name__ == "__main__":
    absltest.main()
