# SPDX-License-Identifier: Apache-2.0
"""Tests of diff_checkpoints: exit status and report."""

import json
import os

import numpy as np
from absl import flags as absl_flags
from absl.testing import absltest, flagsaver, parameterized

from prompt_tuning.checkpoints import t5x_format
from tools.checkpoints import command_line, diff_checkpoints

_TARGET = {
    "a": np.arange(8, dtype=np.float32).reshape(2, 4),
    "b": np.ones(3, np.float32),
    "c": np.zeros(2, np.float32),
}


class DiffCheckpointsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.root = self.create_tempdir().full_path
        self.output = os.path.join(self.root, "report.json")

    def write(self, name: str, target, step: int = 1, states=None) -> str:
        return t5x_format.write_checkpoint(os.path.join(self.root, name), step, target, states)

    def diff(self, a: str, b: str, **flags) -> tuple[int, dict]:
        with flagsaver.flagsaver(output=self.output, **flags):
            code = command_line.status(diff_checkpoints.main, ["diff", a, b])
        with open(self.output) as file:
            return code, json.load(file)

    def test_equal_checkpoints(self):
        a, b = self.write("a", _TARGET), self.write("b", _TARGET, step=2)
        code, report = self.diff(a, b)
        self.assertEqual(code, 0)
        self.assertEqual(
            report,
            {
                "ckpt_a": a,
                "ckpt_b": b,
                "check_frac": 1.0,
                "parameters": {f"target/{name}": "Matched!" for name in "abc"},
                "errors": [],
            },
        )

    def test_a_changed_value(self):
        changed = _TARGET["a"].copy()
        changed[1, 2] += 2
        code, report = self.diff(
            self.write("a", _TARGET), self.write("b", _TARGET | {"a": changed})
        )
        self.assertEqual(code, 1)
        self.assertEqual(
            report["errors"],
            [
                {
                    "error_type": "value",
                    "match": 7,
                    "mismatch": 1,
                    "percentage": "12.500%",
                    "max_error": 2.0,
                }
            ],
        )
        self.assertEqual(
            report["parameters"]["target/a"], "Value Mismatch: 12.500% mismatch, 2.0000 max."
        )

    def test_a_changed_shape(self):
        other = _TARGET | {"b": np.ones(4, np.float32)}
        code, report = self.diff(self.write("a", _TARGET), self.write("b", other))
        self.assertEqual(code, 1)
        self.assertEqual(
            report["errors"], [{"error_type": "shape", "a_shape": [3], "b_shape": [4]}]
        )

    def test_differences_within_tolerance(self):
        near = _TARGET | {"a": _TARGET["a"] * np.float32(1 + 1e-6)}
        self.assertEqual(self.diff(self.write("a", _TARGET), self.write("b", near))[0], 0)

    def test_arrays_of_one_checkpoint_alone_are_no_difference(self):
        more = _TARGET | {"prompt": np.ones((2, 2))}
        code, report = self.diff(self.write("a", _TARGET), self.write("b", more))
        self.assertEqual(code, 0)
        self.assertEqual(
            report["parameter_mismatch"],
            {"present_in_a_not_in_b": [], "present_in_b_not_in_a": ["target/prompt"]},
        )

    def test_steps_are_compared_on_request(self):
        a, b = self.write("a", _TARGET), self.write("b", _TARGET, step=2)
        code, report = self.diff(a, b, compare_step=True)
        self.assertEqual(code, 1)
        self.assertStartsWith(report["parameters"]["state/step"], "Value Mismatch")

    def test_limit_to_params(self):
        a = self.write("a", _TARGET, states={"b/v": np.ones(3)})
        b = self.write("b", _TARGET, states={"b/v": np.zeros(3)})
        self.assertEqual(self.diff(a, b)[0], 1)
        self.assertEqual(self.diff(a, b, limit_to_params=True)[0], 0)

    def test_a_fraction_and_a_name_in_any_case(self):
        a, b = self.write("a", _TARGET), self.write("b", _TARGET)
        for name in "abc":
            _, report = self.diff(a, b, frac=0.4, seed=1, check=[f"target/{name}"])
            self.assertIn(f"target/{name}", report["parameters"])
            self.assertLessEqual(len(report["parameters"]), 2)

    def test_the_seed_decides_the_choice(self):
        names = {f"target/{i}" for i in range(100)}
        first = diff_checkpoints.chosen(names, 0.1, (), 5)
        self.assertLen(first, 10)
        self.assertEqual(first, diff_checkpoints.chosen(names, 0.1, (), 5))
        self.assertNotEqual(first, diff_checkpoints.chosen(names, 0.1, (), 6))

    def test_check_of_an_unknown_name(self):
        with self.assertRaisesRegex(ValueError, "--check names target/x"):
            diff_checkpoints.chosen({"target/a"}, 0.5, ["target/x"], None)

    @parameterized.parameters(0.0, 1.5)
    def test_fractions_out_of_range(self, value):
        with self.assertRaises(absl_flags.IllegalFlagValueError), flagsaver.flagsaver(frac=value):
            pass

    def test_usage_and_missing_checkpoint(self):
        self.assertEqual(command_line.status(diff_checkpoints.main, ["diff", "one"]), 2)
        self.assertEqual(command_line.status(diff_checkpoints.main, ["diff", "/no", "/no"]), 1)


if __name__ == "__main__":
    absltest.main()
