# SPDX-License-Identifier: Apache-2.0
import os
import subprocess

from absl.testing import absltest, parameterized

from tools.launch import fake_commands

_SCONTROL = """#!/bin/sh
[ "$*" = "show hostnames node[01-02]" ] || exit 1
printf 'node01\\nnode02\\n'
"""
# Both note their arguments; srun also the environment of the processes.
_NOTE = """#!/bin/bash
printf '%s\\0' "${0##*/}" "$@" > "${FAKE_DIR}/${0##*/}_arguments"
echo "${JAX_COORDINATOR_ADDRESS} ${JAX_PLATFORMS} ${SOURCE_DIR}" > "${FAKE_DIR}/${0##*/}_environment"
"""
_JOB = {"SLURM_JOB_ID": "4097", "SLURM_JOB_NODELIST": "node[01-02]", "SLURM_JOB_NUM_NODES": "2"}


class SlurmScriptTest(fake_commands.ScriptTest, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.command("scontrol", _SCONTROL)
        self.command("srun", _NOTE)
        for name in ("sbatch", "squeue", "scancel"):
            self.command(name, _NOTE)
        self.slurm = self.script(
            "slurm", "a100:4", ["--model_dir=${MODEL_DIR}", *fake_commands.HOSTILE], workers=2
        )
        os.chmod(self.write("src/bazel-bin/prompt_tuning/train", "#!/bin/sh\n"), 0o755)

    def launch(self, *arguments, **variables):
        everything = {"SOURCE_DIR": self.path("src"), "MODEL_DIR": "/scratch/my model"}
        return self.run_script(self.slurm, *arguments, **(everything | variables))

    def noted(self, name):
        return self.read(f"{name}_arguments").split("\0")[:-1]

    def test_directives_say_what_is_needed(self):
        lines = self.read("sst2.sh").splitlines()
        directives = [line for line in lines if line.startswith("#SBATCH")]
        for wanted in ("--nodes=2", "--ntasks-per-node=4", "--gres=gpu:a100:4", "--job-name=sst2"):
            self.assertIn(f"#SBATCH {wanted}", directives)
        # sbatch reads directives up to the first command only.
        first_command = next(n for n, line in enumerate(lines) if line and line[0] != "#")
        self.assertLess(max(lines.index(line) for line in directives), first_command)

    def test_job_starts_one_process_on_each_gpu(self):
        result = self.launch("run", "--", "--seed=1", **_JOB)
        self.assertEqual(result.returncode, 0, result.stderr)
        arguments = self.noted("srun")
        binary = arguments.index("bazel-bin/prompt_tuning/train")
        self.assertEqual(
            arguments[:binary],
            ["srun", "--nodes=2", "--ntasks=8", "--ntasks-per-node=4"]
            + ["--kill-on-bad-exit=1", "--label"],
        )
        self.assertEqual(
            arguments[binary + 1 :],
            ["--model_dir=/scratch/my model", *fake_commands.HOSTILE, "--seed=1"],
        )

    def test_processes_know_the_coordinator(self):
        self.launch("run", **_JOB)
        address, platforms, _ = self.read("srun_environment").split()
        self.assertEqual((address, platforms), ("node01:61441", "cuda,cpu"))
        self.launch("run", **_JOB, COORDINATOR_PORT="1234")
        self.assertStartsWith(self.read("srun_environment"), "node01:1234 ")

    def test_handed_to_sbatch_by_itself_it_is_the_job(self):
        self.assertEqual(self.launch(**_JOB).returncode, 0)
        self.assertTrue(os.path.exists(self.path("srun_arguments")))

    def test_submit_hands_itself_to_sbatch(self):
        result = self.launch(
            "submit", "--", "--seed=1", SOURCE_DIR="", BUILD_WORKSPACE_DIRECTORY=self.path("src")
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            self.noted("sbatch"),
            ["sbatch", "--export=ALL", self.slurm, "run", "--", "--seed=1"],
        )
        self.assertEndsWith(self.read("sbatch_environment").strip(), self.path("src"))

    def test_install_builds_with_the_locked_gpu_packages(self):
        bazel = '#!/bin/sh\necho "$*" >> "${FAKE_DIR}/bazel"\n'
        os.chmod(self.write("src/tools/bazel", bazel), 0o755)
        self.assertEqual(self.launch("install").returncode, 0)
        calls = self.read("bazel").splitlines()
        self.assertEqual(calls, ["build --config=cuda //prompt_tuning:train"])

    @parameterized.parameters(("status", "squeue"), ("cancel", "scancel"))
    def test_jobs_of_this_launch_and_of_this_user(self, command, program):
        # Neither needs the variables of a run.
        result = self.launch(command, SOURCE_DIR="", MODEL_DIR="")
        self.assertEqual(result.returncode, 0, result.stderr)
        me = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
        arguments = self.noted(program)
        self.assertEqual(arguments[:3], [program, f"--user={me.stdout.strip()}", "--name=sst2"])

    def test_logs_are_the_newest_ones(self):
        result = self.launch("logs", SOURCE_DIR="", MODEL_DIR="")
        self.assertEqual(result.returncode, 1)
        self.assertIn("there is no sst2-*.log in", result.stderr)
        for age, job in ((1, "9"), (2, "10")):
            path = self.write(f"sst2-{job}.log", f"one\nof job {job}\n")
            os.utime(path, (age, age))
        self.write("other-11.log", "")
        self.assertEqual(self.launch("logs", LOG_LINES="1").stdout, "of job 10\n")
        followed = self.launch("--dry_run", "logs", "--follow").stdout
        self.assertEqual(followed, "tail -n 100 -F ./sst2-10.log\n")

    @parameterized.parameters(
        ("run", "srun"), ("submit", "sbatch"), ("status", "squeue"), ("cancel", "scancel")
    )
    def test_a_dry_run_prints_exactly_what_a_run_does(self, command, program):
        dry = self.launch("--dry_run", command, **_JOB)
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertFalse(os.path.exists(self.path(f"{program}_arguments")))
        self.launch(command, **_JOB)
        (printed,) = fake_commands.parsed_lines(dry.stdout)
        if command == "run":
            self.assertEqual(printed[0], "env")
            self.assertEqual(printed[1].partition("=")[2], self.read("srun_environment").split()[0])
            printed = printed[3:]
        self.assertEqual(printed, self.noted(program))

    @parameterized.parameters(
        (["run"], {"SLURM_JOB_ID": ""}, 2, "run is for inside a Slurm job"),
        ([], {"SLURM_JOB_ID": ""}, 2, "no command"),
        (["run"], {"SLURM_JOB_NUM_NODES": "3"}, 1, "the job has 3 nodes, this needs 2"),
        (["run"], {"SLURM_JOB_NODELIST": "other"}, 1, "scontrol cannot read other"),
        (["run"], {"SOURCE_DIR": "/nowhere"}, 2, "SOURCE_DIR '/nowhere' is not a folder"),
        (["run"], {"SOURCE_DIR": "/"}, 1, "use the command install first"),
        (["launch"], {}, 2, "command launch is not known"),
        (["--fast"], {}, 2, "option --fast is not known"),
        (["status", "--", "--x"], {}, 2, "flags after -- are for submit and run"),
        (["cancel", "--follow"], {}, 2, "--follow is for logs"),
        (["logs"], {"LOG_LINES": "all"}, 2, "LOG_LINES is 'all'; it must be a whole number"),
    )
    def test_refuses_what_cannot_work(self, arguments, variables, code, message):
        result = self.launch(*arguments, **(_JOB | variables))
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(message, result.stderr)
        self.assertFalse(os.path.exists(self.path("srun_arguments")))

    def test_names_all_missing_variables_at_once(self):
        result = self.launch("submit", SOURCE_DIR="", MODEL_DIR="")
        self.assertEqual(result.returncode, 2)
        self.assertIn("SOURCE_DIR ", result.stderr)
        self.assertIn("MODEL_DIR    for --model_dir of the run", result.stderr)

    def test_a_failing_run_fails_the_job(self):
        self.command("srun", "#!/bin/sh\nexit 6\n")
        self.assertEqual(self.launch("run", **_JOB).returncode, 6)

    def test_help_teaches(self):
        text = self.launch("--help").stdout
        commands = ["install", "submit", "run", "status", "logs", "cancel"]
        for name in [*commands, "SOURCE_DIR", "MODEL_DIR", "SBATCH_PARTITION"]:
            self.assertIn(name, text)

    def test_script_is_clean(self):
        result = subprocess.run(
            [fake_commands.shellcheck(self), self.slurm], capture_output=True, text=True
        )
        self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    absltest.main()
