# SPDX-License-Identifier: Apache-2.0
"""What the script sends to the workers, really run: each worker is a home folder of its own."""

import io
import json
import os
import shutil
import subprocess
import tarfile
import time

from absl.testing import absltest

from tools.launch import fake_commands

# Builds a binary that notes its arguments and then does what the file `behaviour` says.
_BAZEL = """#!/bin/bash
set -e
printf '%s\\n' "$*" >> "${HOME}/bazel_calls"
[[ -n "${PROMPT_TUNING_PYTHON}" ]]
if [[ "$1" == build ]]; then
  mkdir -p bazel-bin/prompt_tuning
  cp binary bazel-bin/prompt_tuning/train
fi
"""
_BINARY = """#!/bin/bash
printf '%s\\0' "$@" > "${HOME}/arguments"
echo "platforms ${JAX_PLATFORMS}, python ${PROMPT_TUNING_PYTHON##*/}"
[[ ! -e "${HOME}/behaviour" ]] || source "${HOME}/behaviour"
"""
_WORKERS = ["w0", "w1"]


def sources(bazel=_BAZEL):
    return {"tools/bazel": bazel, "binary": _BINARY}


def bundle(path, files, prefix=""):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size, member.mode = len(text), 0o755
            archive.addfile(member, io.BytesIO(text.encode()))


class TpuWorkerTest(fake_commands.ScriptTest):
    def setUp(self):
        super().setUp()
        for worker in _WORKERS:
            os.makedirs(self.path("workers", worker))
        self.scenario(workers=_WORKERS)
        # The oldest Python that will do, so that nothing has to be installed.
        self.command("python3", '#!/bin/sh\n[ "$1" = -c ] && exit 0\nexec /usr/bin/python3 "$@"\n')
        self.tpu = self.script("tpu", "v4-16", ["--model_dir=${MODEL_DIR}", *fake_commands.HOSTILE])
        bundle(self.path("bundle.tar.gz"), sources())
        self.addCleanup(self.end_runs)

    def end_runs(self):
        self.launch("kill", GRACE_SECONDS="0")

    def launch(self, *arguments, **variables):
        everything = {"PROJECT": "p", "ZONE": "z", "TPU_NAME": "t", "MODEL_DIR": "m d'"}
        everything |= {"BUNDLE": "bundle.tar.gz", "RUN_ID": "first"}
        return self.run_script(self.tpu, *arguments, **(everything | variables))

    def ok(self, *arguments, **variables):
        result = self.launch(*arguments, **variables)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def wait_for(self, *names):
        path = self.path("workers", *names)
        deadline = time.time() + 30
        while not os.path.exists(path):
            self.assertLess(time.time(), deadline, f"no {path}")
            time.sleep(0.02)

    def finished(self, worker, run="first"):
        self.wait_for(worker, "prompt_tuning_runs", run, "exit_code")

    def behave(self, worker, text):
        self.write(os.path.join("workers", worker, "behaviour"), text)

    def test_install_builds_with_the_locked_tpu_packages(self):
        result = self.ok("install")
        self.assertEqual(result.stdout.count(": ready"), 2)
        for worker in _WORKERS:
            calls = self.read(f"workers/{worker}/bazel_calls").splitlines()
            self.assertEqual(calls, ["build --config=tpu //prompt_tuning:train"])

    def test_install_twice_replaces_the_sources(self):
        self.ok("install")
        self.write("workers/w0/prompt_tuning/stale", "")
        self.ok("install")
        self.assertFalse(os.path.exists(self.path("workers/w0/prompt_tuning/stale")))
        self.assertTrue(os.path.exists(self.path("workers/w0/prompt_tuning/tools/bazel")))

    def test_a_bundle_of_the_wrong_shape_is_refused_and_the_old_sources_stay(self):
        self.ok("install")
        bundle(self.path("bundle.tar.gz"), sources(), prefix="main/")
        result = self.launch("install")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the bundle has no install or tools/bazel at its top", result.stderr)
        self.assertTrue(os.path.exists(self.path("workers/w0/prompt_tuning/tools/bazel")))

    def test_a_deploy_bundle_installs_itself_and_runs(self):
        install = '#!/bin/sh\necho "$@" > "${HOME}/installed"\n'
        bundle(
            self.path("bundle.tar.gz"),
            {"install": install, "bazel-bin/prompt_tuning/train": _BINARY},
        )
        self.assertEqual(self.ok("install").stdout.count(": ready"), 2)
        self.assertEqual(self.read("workers/w1/installed"), "tpu\n")
        self.ok("run")
        self.finished("w1")
        arguments = self.read("workers/w1/arguments").split("\0")
        self.assertEqual(arguments[0], "--model_dir=m d'")

    def test_setup_runs_first_and_its_failure_counts(self):
        self.ok("install", SETUP="echo 'it is' > \"${HOME}/was here\"")
        self.assertEqual(self.read("workers/w1/was here"), "it is\n")
        result = self.launch("install", SETUP="false; true")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the installation failed", result.stderr)

    def test_workers_do_not_read_what_is_typed_ahead(self):
        self.ok("install", SETUP='cat > "${HOME}/standard_input"')
        self.assertEqual(self.read("workers/w0/standard_input"), "")

    def test_a_failing_build_counts(self):
        bundle(self.path("bundle.tar.gz"), sources("#!/bin/sh\necho no compiler >&2; exit 7\n"))
        result = self.launch("install")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no compiler", result.stderr)

    def test_installs_a_python_where_none_will_do(self):
        for name in ("python3", "python3.11", "python3.12", "python3.13"):
            self.command(name, "#!/bin/sh\nexit 1\n")
        self.ok("install")
        asked = self.read("sudo")
        self.assertIn("apt-get -o DPkg::Lock::Timeout=600 -qq update", asked)
        self.assertIn("python3.11-dev python3.11-venv", asked)
        environment = self.read("workers/w0/prompt_tuning_environment")
        self.assertEndsWith(environment.strip(), "/python3.11")

    def test_clones_a_revision(self):
        if not shutil.which("git"):
            self.skipTest("git is not installed on this machine")
        origin = self.path("origin")
        os.mkdir(origin)
        subprocess.run(["tar", "-xzf", self.path("bundle.tar.gz"), "-C", origin], check=True)
        git = ["git", "-C", origin, "-c", "user.name=n", "-c", "user.email=e"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1"]):
            subprocess.run([*git, *words], check=True, env=self.environment({}))
        self.ok("install", BUNDLE="", REPOSITORY=origin, REVISION="v1")
        self.assertTrue(os.path.exists(self.path("workers/w1/bazel_calls")))
        result = self.launch("install", BUNDLE="", REPOSITORY=origin, REVISION="v2")
        self.assertEqual(result.returncode, 1)
        self.assertIn("could not be cloned at v2", result.stderr)

    def test_every_flag_arrives_as_it_was_written(self):
        self.ok("install")
        extra = ["--extra=$(touch pwned)", "last 'one'\n"]
        self.ok("run", "--", *extra)
        for worker in _WORKERS:
            self.finished(worker)
            arguments = self.read(f"workers/{worker}/arguments").split("\0")[:-1]
            self.assertEqual(arguments, ["--model_dir=m d'", *fake_commands.HOSTILE, *extra])
        found = [name for _, _, names in os.walk(self.folder) for name in names]
        self.assertNotIn("pwned", found)

    def test_run_logs_and_status(self):
        self.ok("install")
        self.behave("w1", "echo oh no; exit 3")
        self.ok("run")
        self.finished("w0")
        self.finished("w1")
        self.assertIn("platforms tpu,cpu, python python3", self.ok("logs").stdout)
        self.assertEqual(self.ok("logs", WORKER="1", LOG_LINES="1").stdout, "oh no\n")
        self.write("exists", "")
        status = self.ok("status").stdout
        self.assertIn(": ended with code 0\n", status)
        self.assertIn(": ended with code 3\noh no\n", status)

    def test_run_needs_an_installation_and_logs_need_a_run(self):
        result = self.launch("run")
        self.assertEqual(result.returncode, 1)
        self.assertIn("has no built bazel-bin/prompt_tuning/train", result.stderr)
        result = self.launch("logs")
        self.assertEqual(result.returncode, 1)
        self.assertIn("has no run yet", result.stderr)
        self.write("exists", "")
        self.assertIn(": no run yet\n", self.ok("status").stdout)

    def test_a_lost_connection_starts_nothing_twice(self):
        self.ok("install")
        self.behave("w0", 'echo once >> "${HOME}/starts"')
        lost = {"when": "worker_start", "code": 255, "after": True, "times": 1}
        self.scenario(workers=_WORKERS, failures=[lost])
        self.assertIn("was started before", self.ok("run").stdout)
        self.finished("w0")
        self.assertEqual(self.read("workers/w0/starts"), "once\n")

    def test_one_run_at_a_time_until_it_is_ended(self):
        self.ok("install")
        for worker in _WORKERS:  # Saves and ends when asked to, as training does.
            self.behave(
                worker,
                "trap 'echo saved; exit 9' TERM\ntouch \"${HOME}/up\"\n"
                "while :; do /bin/sleep 0.05; done\n",
            )
        self.ok("run")
        for worker in _WORKERS:
            self.wait_for(worker, "up")
        self.write("exists", "")
        self.assertEqual(self.ok("status").stdout.count(": running"), 2)
        result = self.launch("run", RUN_ID="second")
        self.assertEqual(result.returncode, 1)
        self.assertIn("still runs first; end it with the command kill", result.stderr)
        self.ok("kill")
        for worker in _WORKERS:
            self.finished(worker)
            log = self.read(f"workers/{worker}/prompt_tuning_runs/first/log")
            self.assertIn("saved", log)
            self.behave(worker, "")
        self.assertEqual(self.ok("status").stdout.count("ended with code 9"), 2)
        self.ok("run", RUN_ID="second")
        self.finished("w1", "second")

    def test_kill_ends_a_run_that_does_not_obey(self):
        self.ok("install")
        self.behave(
            "w0", 'trap "" TERM\necho $$ > "${HOME}/up"\nwhile :; do /bin/sleep 0.05; done\n'
        )
        self.ok("run")
        self.wait_for("w0", "up")
        self.ok("kill", GRACE_SECONDS="2")
        self.write("exists", "")
        deadline = time.time() + 30
        while ": running" in self.ok("status").stdout:
            self.assertLess(time.time(), deadline, "the run goes on")
        self.assertIn("gone without an exit code", self.ok("status").stdout)

    def test_kill_frees_the_tpu_from_whoever_holds_it(self):
        self.write("holders", "123\n45\n123\n")
        result = self.ok("kill")
        self.assertIn("ending processes that hold the TPU: 123 45", result.stdout)
        self.assertIn(": the TPU is free", result.stdout)
        asked = self.read("sudo").splitlines()
        self.assertIn("kill -KILL 123 45", asked)
        self.assertIn("rm -f /tmp/libtpu_lockfile", asked)
        searches = [line for line in asked if line.startswith("find /proc/")]
        for device in ("-lname /dev/accel*", "-lname /dev/vfio/[0-9]*"):
            self.assertIn(device, searches[0])

    def test_kill_says_when_a_process_holds_the_tpu_for_good(self):
        self.write("holders", "123\n")
        self.write("stubborn", "")
        result = self.launch("kill")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "error: .*: the TPU is still held by processes 123")
        self.assertIn("not every worker could be freed; run kill again", result.stderr)
        self.assertNotIn("the TPU is free", result.stdout)

    def test_a_task_stands_alone(self):
        """Nothing that a worker runs may come from the script's other functions or variables."""
        self.launch("all")
        for call in (call for call in self.calls() if call[3] == "ssh"):
            sent = json.dumps(call[-1])
            self.assertEqual(sent.count("worker_"), 2, sent)
            for foreign in ("PROJECT", "TPU_NAME", "error_file", "misuse"):
                self.assertNotIn(foreign, sent)


if __name__ == "__main__":
    absltest.main()
