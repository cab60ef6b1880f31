# SPDX-License-Identifier: Apache-2.0
import gin
from absl.testing import absltest, parameterized

from prompt_tuning.config import infer_flags

_FLAGS = {flag.name: flag for flag in infer_flags.TABLE}


class InferFlagsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("prompt", ["a=x=1.npy", "b='y'"], ["a=x=1.npy", "b='y'"], "x=1.npy"),
        ("prompt_column", "3", 3, None),
        ("prompt_column", "task", "task", None),
        ("ensemble", True, True, None),
        ("temperature", 0.5, 0.5, None),
    )
    def test_what_gin_gets(self, name, value, expected, second):
        texts = [target.text(value) for target in _FLAGS[name].targets]
        self.assertEqual(gin.config.parse_value(texts[0]), expected)
        if second:
            self.assertEqual(gin.config.parse_value(texts[1]), second)

    def test_only_infer_has_them(self):
        for flag in infer_flags.TABLE:
            self.assertEqual(flag.programs, ("infer",), flag.name)


if __name__ == "__main__":
    absltest.main()
