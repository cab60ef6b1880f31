# SPDX-License-Identifier: Apache-2.0
import contextlib
import io
import json
import subprocess

import hypothesis
from absl.testing import absltest, parameterized
from hypothesis import strategies

from tools.launch import generate, launch_spec

BINARY = "//prompt_tuning:train"
# Any text but NUL, which no argument can hold, and lone surrogates, which are not text.
TEXT = strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0"))
SHELL = strategies.text(alphabet="${}()`'\"\\ \n\t*!#~&;|<>=AZ-")


def spec(platform="tpu", accelerator="v4-32", args=(), **attributes):
    return launch_spec.Spec("launch", BINARY, platform, accelerator, list(args), **attributes)


def run(attributes):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = generate.main(["--spec", json.dumps(attributes)])
    return code, out.getvalue(), err.getvalue()


class QuotingTest(absltest.TestCase):
    def in_bash(self, words, **variables):
        """What bash makes of the words of an array."""
        done = subprocess.run(
            ["bash", "-c", f"a=({' '.join(words)}); printf '%s\\0' \"${{a[@]}}\""],
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"} | variables,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().split("\0")[:-1]

    @hypothesis.settings(deadline=None, max_examples=60)
    @hypothesis.given(strategies.lists(TEXT | SHELL, min_size=1))
    def test_arguments_are_literal_but_for_variables(self, arguments):
        hypothesis.assume(
            not any(launch_spec.Spec("x", BINARY, "tpu", "v4-8", [a]).variables for a in arguments)
        )
        words = [generate.bash_word(argument) for argument in arguments]
        self.assertEqual(self.in_bash(words), arguments)

    def test_every_literal_is_quoted(self):
        self.assertEqual(generate.bash_word("--words=a,b"), "'--words=a,b'")
        self.assertEqual(generate.bash_word("--a=${A}"), "'--a='\"${A}\"")
        self.assertEqual(generate.bash_word(""), "''")

    @hypothesis.settings(deadline=None, max_examples=40)
    @hypothesis.given(TEXT | SHELL)
    def test_values_of_variables_are_literal(self, value):
        words = [generate.bash_word("--dir='${DIR}/x y'"), generate.bash_word("${DIR}")]
        self.assertEqual(self.in_bash(words, DIR=value), [f"--dir='{value}/x y'", value])


class GenerateTest(parameterized.TestCase):
    def test_tpu_script_carries_what_the_slice_is(self):
        lines = generate.generate(spec(zone="us-central2-b")).splitlines()
        self.assertEqual(lines[0], "#!/usr/bin/env bash")
        for line in (
            "launch_name=launch",
            "binary=//prompt_tuning:train",
            "binary_path=prompt_tuning/train",
            "accelerator=v4-32",
            "workers=4",
            "chips=16",
            "default_version=tpu-ubuntu2204-base",
            "default_zone=us-central2-b",
        ):
            self.assertIn(line, lines)

    def test_version_of_the_target_wins(self):
        self.assertIn("default_version=mine\n", generate.generate(spec(version="mine")))

    def test_variables_are_required_by_name(self):
        text = generate.generate(spec(args=["--model_dir=${MODEL_DIR}", "--x=${X}${MODEL_DIR}"]))
        self.assertIn("\nrun_variables=(MODEL_DIR X)\n", text)
        self.assertIn("([MODEL_DIR]=--model_dir [X]=--x)", text)

    @parameterized.parameters(
        ("a100:8", "gpu:a100:8"),
        ("gpu:4", "gpu:4"),
        ("nvidia_h100.sxm-80:1", "gpu:nvidia_h100.sxm-80:1"),
    )
    def test_slurm_script_asks_for_the_gpus(self, accelerator, gres):
        text = generate.generate(spec("slurm", accelerator, workers=3))
        self.assertIn(f"#SBATCH --gres={gres}\n", text)
        self.assertIn("#SBATCH --nodes=3\n", text)

    @parameterized.parameters(("tpu", "v4-32"), ("slurm", "a100:8"))
    def test_script_stands_alone(self, platform, accelerator):
        text = generate.generate(spec(platform, accelerator, workers=4))
        self.assertNotRegex(text, r"#@|@name@|@workers@")
        self.assertEqual(text.count("SPDX-License-Identifier: Apache-2.0"), 1)
        self.assertEqual(text.count("\nrequire() {"), 1)
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)

    @parameterized.parameters(
        ({"accelerator": "v4-31"}, "nearest valid one is v4-32"),
        ({"workers": 5}, "workers=5, but v4-32 has 4 hosts"),
        ({"platform": "slurm", "workers": 2}, "'v4-32' is not TYPE:COUNT"),
        (
            {"platform": "slurm", "accelerator": "a100:0", "workers": 2},
            "'a100:0' is not TYPE:COUNT",
        ),
        ({"platform": "slurm", "accelerator": "a100:8"}, "needs the attribute workers"),
        (
            {"platform": "slurm", "accelerator": "a100:8", "workers": 2, "zone": "z"},
            "zone='z' means nothing to Slurm",
        ),
        ({"platform": "jobset"}, "needs the attribute image"),
    )
    def test_refuses(self, change, message):
        good = {"name": "n", "binary": BINARY, "platform": "tpu", "accelerator": "v4-32"}
        code, out, err = run(good | change)
        self.assertEqual((code, out), (1, ""))
        self.assertStartsWith(err, "error: ")
        self.assertIn(message, err)
        self.assertLen(err.splitlines(), 1)

    def test_writes_what_it_makes(self):
        good = {"name": "n", "binary": BINARY, "platform": "tpu", "accelerator": "v4-32"}
        code, out, err = run(good)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, generate.generate(launch_spec.Spec.from_attributes(good)))


if __name__ == "__main__":
    absltest.main()
