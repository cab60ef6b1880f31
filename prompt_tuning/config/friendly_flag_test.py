# SPDX-License-Identifier: Apache-2.0
from absl.testing import absltest

from prompt_tuning.config import friendly_flag


class FriendlyFlagTest(absltest.TestCase):
    def test_texts_about_a_flag(self):
        flag = friendly_flag.flag("label_file", "string", "Labels.", "none", "LABEL_FILE", "OTHER")
        self.assertEqual(flag.macro, "LABEL_FILE")
        self.assertEqual(flag.example, "--label_file=FILE")
        self.assertEqual(flag.full_help, "Labels. Default: none. Macro: LABEL_FILE.")
        self.assertEqual([target.text("a'b") for target in flag.targets], ['"a\'b"'] * 2)

    def test_a_flag_that_sets_nothing(self):
        self.assertEqual(friendly_flag.flag("model", "string", "A.", "b").macro, "none")

    def test_repeated_flags_show_what_they_take(self):
        flag = friendly_flag.flag("prompt", "strings", "A.", "b", "PROMPTS")
        self.assertEqual(flag.example, "--prompt=NAME=PATH")


if __name__ == "__main__":
    absltest.main()
