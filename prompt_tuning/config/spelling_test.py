# SPDX-License-Identifier: Apache-2.0
"""Tests of the nearest names."""

from absl.testing import absltest, parameterized

from prompt_tuning.config import spelling

_KNOWN = ("MODEL_DIR", "MODEL", "BATCH_SIZE")


class SpellingTest(parameterized.TestCase):
    @parameterized.parameters(
        ("MODEL_DRI", 3, "; did you mean MODEL_DIR or MODEL?"),
        ("MODEL_DRI", 1, "; did you mean MODEL_DIR?"),
        ("BATCHSIZE", 3, "; did you mean BATCH_SIZE?"),
        ("zzz", 3, ""),
        ("", 3, ""),
    )
    def test_nearest(self, name, many, expected):
        self.assertEqual(spelling.nearest(name, _KNOWN, many), expected)

    def test_nothing_is_known(self):
        self.assertEqual(spelling.nearest("a", iter(())), "")


if __name__ == "__main__":
    absltest.main()
