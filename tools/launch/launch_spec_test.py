# SPDX-License-Identifier: Apache-2.0
import hypothesis
from absl.testing import absltest, parameterized
from hypothesis import strategies

from tools.launch import launch_spec

GOOD = {
    "name": "sst2",
    "binary": "//prompt_tuning:train",
    "platform": "tpu",
    "accelerator": "v4-32",
}


class LaunchSpecTest(parameterized.TestCase):
    @parameterized.parameters(
        ("--a=${DIR}/x", ["--a=", "<DIR>", "/x"]),
        ("${A}${B2_}", ["<A>", "<B2_>"]),
        ("$(A) ${lower} $A ${} ${1A}", ["$(A) ${lower} $A ${} ${1A}"]),
        ("", []),
    )
    def test_parts(self, argument, expected):
        found = [f"<{p.text}>" if p.is_variable else p.text for p in launch_spec.parts(argument)]
        self.assertEqual(found, expected)

    @hypothesis.given(strategies.text(alphabet="${}AB_ x\n'"))
    def test_parts_put_together_are_the_argument(self, argument):
        parts = launch_spec.parts(argument)
        together = "".join(f"${{{p.text}}}" if p.is_variable else p.text for p in parts)
        self.assertEqual(together, argument)

    def test_variables_in_order_with_the_first_flag_that_uses_them(self):
        args = ["--b=${B}", "--a=${A}${B}", "${C}", "${D}=1"]
        spec = launch_spec.Spec(**GOOD, args=args)
        self.assertEqual(
            list(spec.variables.items()),
            [("B", "--b"), ("A", "--a"), ("C", "a flag"), ("D", "a flag")],
        )

    @parameterized.parameters(
        ("//prompt_tuning:train", "prompt_tuning/train"), ("//:main", "main"), ("//a/b:c", "a/b/c")
    )
    def test_binary_path(self, label, path):
        self.assertEqual(launch_spec.Spec(**(GOOD | {"binary": label})).binary_path, path)

    @parameterized.parameters(
        ({"name": "a b"}, "name 'a b' may hold only"),
        ({"name": "a;rm"}, "name 'a;rm' may hold only"),
        ({"binary": "train"}, "binary 'train' is not a label"),
        ({"binary": "//a:$(x)"}, "is not a label"),
        ({"platform": "slrum"}, "platform 'slrum' is not known, did you mean 'slurm'"),
        ({"args": ["a\0b"]}, "NUL"),
        ({"image": "i"}, "image='i' is used by platform jobset alone"),
        ({"acelerator": "v4-8"}, "'acelerator' is not known, did you mean 'accelerator'"),
    )
    def test_refuses(self, change, message):
        with self.assertRaisesRegex(ValueError, message):
            launch_spec.Spec.from_attributes(GOOD | change)

    def test_names_all_missing_attributes(self):
        with self.assertRaisesRegex(ValueError, "attributes binary, accelerator are not given"):
            launch_spec.Spec.from_attributes({"name": "x", "platform": "tpu"})

    def test_workers_must_be_the_slices(self):
        for workers in (None, 4):
            launch_spec.Spec(**GOOD, workers=workers).check_workers(4)
        with self.assertRaisesRegex(ValueError, "workers=8, but v4-32 has 4 hosts"):
            launch_spec.Spec(**GOOD, workers=8).check_workers(4)


if __name__ == "__main__":
    absltest.main()
