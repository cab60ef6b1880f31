# SPDX-License-Identifier: Apache-2.0
"""The launches of the BUILD file as Bazel made them."""

import os
import subprocess

import yaml
from absl.testing import absltest, parameterized

from tools.launch import accelerators, fake_commands

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_TPUS = {"sst2_base_v3_8": "v3-8", "sst2_xxl_v4_32": "v4-32", "sst2_xxl_v5e_64": "v5litepod-64"}
_SCRIPTS = (*_TPUS, "sst2_xl_slurm")


class ExamplesTest(parameterized.TestCase):
    def built(self, name):
        path = os.path.join(_FOLDER, name)
        if not os.path.exists(path):
            self.skipTest(f"{name} is made by Bazel; run this test with tools/bazel test")
        return path

    def run_script(self, name, *arguments, **variables):
        return subprocess.run(
            [self.built(f"{name}.sh"), *arguments],
            env={"PATH": "/usr/bin:/bin"} | variables,
            capture_output=True,
            text=True,
        )

    @parameterized.parameters(*_TPUS.items())
    def test_dry_run_asks_for_the_slice_and_sends_every_flag(self, name, accelerator):
        variables = {"PROJECT": "p", "ZONE": "z", "TPU_NAME": "t", "REPOSITORY": "r"}
        variables |= {"MODEL_DIR": "gs://m", "CHECKPOINT": "gs://c", "TFDS_DATA_DIR": "gs://d"}
        result = self.run_script(name, "--dry_run", "all", **variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        lines = result.stdout.splitlines()
        self.assertIn(f"--accelerator-type={accelerator}", lines[1])
        for flag in ("--model_dir=gs://m", "--initial_checkpoint=gs://c", "taskless_glue_sst2"):
            self.assertIn(flag, lines[-1])
        # On several hosts nothing else tells the program to join the others.
        hosts = accelerators.find(accelerator).hosts
        self.assertEqual("--multiprocess_gpu" in lines[-1], hosts > 1)

    @parameterized.parameters(*_SCRIPTS)
    def test_script_is_clean(self, name):
        script = self.built(f"{name}.sh")
        result = subprocess.run(
            [fake_commands.shellcheck(self), script], capture_output=True, text=True
        )
        self.assertEqual(result.stdout, "")

    @parameterized.parameters(*_SCRIPTS)
    def test_script_names_the_variables_of_the_run(self, name):
        result = self.run_script(name, "submit" if name == "sst2_xl_slurm" else "run")
        self.assertEqual(result.returncode, 2)
        for variable in ("MODEL_DIR", "CHECKPOINT", "TFDS_DATA_DIR"):
            self.assertIn(f"  {variable}", result.stderr)

    def container(self, name):
        with open(self.built(f"{name}.yaml"), encoding="utf-8") as file:
            jobset = yaml.safe_load(file)
        (replicated,) = jobset["spec"]["replicatedJobs"]
        return replicated["template"]["spec"]["template"]["spec"]["containers"][0]

    def test_manifest_is_yaml_with_the_flags(self):
        container = self.container("sst2_xxl_jobset")
        self.assertIn("--model_dir=$(MODEL_DIR)", container["args"])
        self.assertIn("--model=t5_1_1_xxl", container["args"])
        self.assertEqual(container["command"], ["bazel-bin/prompt_tuning/train"])

    def test_manifest_of_gpu_nodes(self):
        container = self.container("sst2_xl_gpu_jobset")
        self.assertEqual(container["resources"], {"limits": {"nvidia.com/gpu": 8}})
        self.assertIn("--model=t5_1_1_xl", container["args"])

    def test_bazel_and_its_shell_leave_the_flags_alone(self):
        expected = [
            'it\'s "quoted" `twice`',
            "$(location x) $@ $$ ${lower} %s {} \\n",
            "line\nline",
        ]
        arguments = self.container("hostile_jobset")["args"]
        self.assertEqual([argument.replace("$$", "$") for argument in arguments], expected)


if __name__ == "__main__":
    absltest.main()
