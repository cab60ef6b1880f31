# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import time

from absl.testing import absltest, parameterized

from tools.launch import accelerators, fake_commands

TPU = {"PROJECT": "p", "ZONE": "z", "TPU_NAME": "t", "RUN_ID": "r"}
PLACE = ["--project=p", "--zone=z", "--quiet"]
UNAVAILABLE = "ERROR: (gcloud) UNAVAILABLE: The service is currently unavailable."
COMMANDS = ("create", "install", "run", "logs", "status", "kill", "delete", "all")


class TpuScriptTest(fake_commands.ScriptTest, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.tpu = self.script("tpu", "v4-32", ["--model_dir=${MODEL_DIR}", "--ck=${CHECKPOINT}"])
        self.write("bundle.tar.gz", "not opened here")

    def launch(self, *arguments, **variables):
        everything = TPU | {"BUNDLE": "bundle.tar.gz", "MODEL_DIR": "gs://m", "CHECKPOINT": "c"}
        return self.run_script(self.tpu, *arguments, **(everything | variables))

    def inject(self, when, stderr, **more):
        self.scenario(failures=[{"when": when, "stderr": stderr} | more])

    def exists(self):
        return os.path.exists(self.path("exists"))


class UsageTest(TpuScriptTest):
    def test_help_teaches_commands_options_and_variables(self):
        result = self.run_script(self.tpu, "--help")
        self.assertEqual(result.returncode, 0)
        names = ["--dry_run", "--spot", "--reserved", "PROJECT", "MODEL_DIR", "RETRIES", "v4-32"]
        for name in [*COMMANDS, *names]:
            self.assertIn(name, result.stdout)

    @parameterized.parameters(
        ("delete", ["PROJECT", "ZONE", "TPU_NAME"]),
        ("create", ["PROJECT", "ZONE", "TPU_NAME"]),
        ("install", ["PROJECT", "ZONE", "TPU_NAME", "BUNDLE"]),
        ("run", ["PROJECT", "ZONE", "TPU_NAME", "MODEL_DIR", "CHECKPOINT"]),
        ("all", ["PROJECT", "ZONE", "TPU_NAME", "BUNDLE", "MODEL_DIR", "CHECKPOINT"]),
    )
    def test_names_all_missing_variables_at_once(self, command, names):
        result = self.run_script(self.tpu, command)
        self.assertEqual(result.returncode, 2)
        listed = [line.split()[0] for line in result.stderr.splitlines() if line[:2] == "  "]
        self.assertEqual(listed, names)
        self.assertEqual(self.calls(), [])

    def test_says_for_which_flag_a_variable_is(self):
        result = self.run_script(self.tpu, "run", **TPU, MODEL_DIR="m")
        self.assertIn("CHECKPOINT   for --ck of the run", result.stderr)
        self.assertNotIn("MODEL_DIR", result.stderr)

    def test_the_targets_zone_holds_until_zone_is_set(self):
        self.tpu = self.script("tpu", "v4-32", zone="us-central2-b")
        self.launch("delete", ZONE="")
        self.launch("delete", ZONE="other")
        self.assertIn("--zone=us-central2-b", self.calls()[0])
        self.assertIn("--zone=other", self.calls()[1])

    @parameterized.parameters(
        ([], {}, "no command"),
        (["creat"], {}, "command creat is not known; commands are create"),
        (["create", "delete"], {}, "two commands, create and delete"),
        (["create", "--fast"], {}, "option --fast is not known"),
        (["create", "--spot", "--reserved"], {}, "exclude each other"),
        (["run", "--spot"], {}, "--spot is for create and all"),
        (["status", "--", "--x"], {}, "flags after -- are for run and all"),
        (["run", "--follow"], {}, "--follow is for logs"),
        (["create"], {"RETRIES": "many"}, "RETRIES is 'many'; it must be a whole number"),
        (["create"], {"WAIT_MINUTES": "0"}, "must be above 0"),
        (["logs"], {"WORKER": "4"}, "v4-32 has the workers 0 to 3"),
        (["run"], {"RUN_ID": "../x"}, "RUN_ID is '../x'"),
        (["install"], {"BUNDLE": "absent.tar"}, "BUNDLE 'absent.tar' is not a file"),
    )
    def test_misuse_ends_before_anything_is_done(self, arguments, variables, message):
        result = self.launch(*arguments, **variables)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(message, result.stderr)
        self.assertEqual(self.calls(), [])

    def test_says_that_gcloud_is_not_there(self):
        os.remove(self.path("bin", "gcloud"))
        self.command("date", "#!/bin/sh\n")
        result = self.launch("status", PATH=self.path("bin"))
        self.assertEqual(result.returncode, 1)
        self.assertIn("gcloud is not on PATH", result.stderr)


class CreateTest(TpuScriptTest):
    def request(self):
        return next(call for call in self.calls() if call[3] == "create")

    def test_asks_for_the_slice_and_waits(self):
        self.scenario(states=["WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"])
        result = self.launch("create", WAIT_MINUTES="5")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.actions(), ["describe", "create"] + 3 * ["describe"])
        self.assertEqual(
            self.request(),
            ["compute", "tpus", "queued-resources", "create", "t", *PLACE, "--node-id=t"]
            + ["--accelerator-type=v4-32", "--runtime-version=tpu-ubuntu2204-base"]
            + ["--valid-until-duration=5m"],
        )
        self.assertEqual(self.sleeps(), [20, 20])
        self.assertIn("bills until", result.stderr)
        self.assertTrue(self.exists())

    def test_passes_the_options(self):
        self.launch("create", "--spot", SERVICE_ACCOUNT="s@x", NETWORK="n", VERSION="mine")
        for word in ("--spot", "--service-account=s@x", "--network=n", "--runtime-version=mine"):
            self.assertIn(word, self.request())

    def test_reserved(self):
        self.launch("create", "--reserved")
        self.assertIn("--reserved", self.request())
        self.assertNotIn("--spot", self.request())

    def test_leaves_a_tpu_alone_that_was_there_before(self):
        self.write("exists", "")
        result = self.launch("create")
        self.assertEqual(result.returncode, 1)
        self.assertIn("t exists (ACTIVE)", result.stderr)
        self.assertEqual(self.actions(), ["describe"])

    def test_deletes_what_does_not_arrive_in_time(self):
        self.scenario(states=["WAITING_FOR_RESOURCES"])
        result = self.launch("create", WAIT_MINUTES="1", POLL_SECONDS="20")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no v4-32 within 1 minutes", result.stderr)
        self.assertEqual(self.sleeps(), [20, 20, 20])
        self.assertEqual(self.calls()[-1][3:], ["delete", "t", *PLACE, "--force"])
        self.assertFalse(self.exists())

    @parameterized.parameters("FAILED", "SUSPENDED")
    def test_deletes_what_failed(self, state):
        self.scenario(states=["PROVISIONING", state])
        result = self.launch("create")
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"ended as {state}", result.stderr)
        self.assertFalse(self.exists())

    def test_repeats_a_passing_failure_with_growing_pauses(self):
        self.inject("create", UNAVAILABLE, times=3)
        result = self.launch("create", RETRY_SECONDS="25")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.actions().count("create"), 4)
        self.assertEqual(self.sleeps(), [25, 50, 60])

    @parameterized.parameters(
        "PERMISSION_DENIED: no",
        "INVALID_ARGUMENT: no such accelerator",
        "RESOURCE_EXHAUSTED: Quota limit 'TPUV4PerProject' has been exceeded",
        "something that nobody has seen before",
    )
    def test_does_not_repeat_a_refusal_and_has_nothing_to_delete(self, reason):
        self.inject("create", reason)
        result = self.launch("create")
        self.assertEqual(result.returncode, 1)
        self.assertIn(reason, result.stderr)
        self.assertEqual(self.actions(), ["describe", "create"])

    def test_gives_up_after_the_last_retry_and_cleans_up(self):
        # The requests arrive although the answers are lost: the dangerous case.
        self.inject("create", UNAVAILABLE, after=True)
        result = self.launch("create", RETRIES="0")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.actions(), ["describe", "create", "delete"])
        self.assertFalse(self.exists())

    def test_an_earlier_attempt_may_have_arrived(self):
        self.inject("create", UNAVAILABLE, after=True, times=1)
        result = self.launch("create")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.actions().count("create"), 2)
        self.assertTrue(self.exists())

    def test_somebody_elses_tpu_is_not_deleted(self):
        self.inject("create", "ALREADY_EXISTS: taken a moment ago")
        self.assertEqual(self.launch("create").returncode, 1)
        self.assertNotIn("delete", self.actions())

    def test_warns_when_even_the_cleaning_fails(self):
        denied = {"when": "delete", "stderr": "PERMISSION_DENIED: no"}
        self.scenario(states=["FAILED"], failures=[denied])
        result = self.launch("create")
        self.assertEqual(result.returncode, 1)
        self.assertIn("WARNING: t may exist and bill", result.stderr)

    def waiting(self):
        """A script that waits for a TPU that it has asked for."""
        self.scenario(states=["WAITING_FOR_RESOURCES"])
        process = subprocess.Popen(
            ["bash", self.tpu, "create"],
            env=self.environment(TPU | {"WAIT_MINUTES": "10000"}),
            stderr=subprocess.PIPE,
            # A shell in the background ignores SIGINT; a user's does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        deadline = time.time() + 60
        while self.actions().count("describe") < 3 and time.time() < deadline:
            time.sleep(0.05)
        self.assertTrue(self.exists())
        return process

    @parameterized.parameters((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129))
    def test_deletes_when_interrupted(self, number, code):
        process = self.waiting()
        process.send_signal(number)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, code)
        self.assertEqual(self.actions()[-1], "delete")
        self.assertFalse(self.exists())

    def test_deletes_when_the_terminal_is_gone(self):
        """Nobody hears what the script says while it cleans up; it goes on all the same."""
        process = self.waiting()
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(timeout=60), 129)
        self.assertEqual(self.actions()[-1], "delete")
        self.assertFalse(self.exists())

    def test_deletes_when_nobody_reads_what_it_says(self):
        self.scenario(states=["WAITING_FOR_RESOURCES"])
        reader, writer = os.pipe()
        os.close(reader)
        environment = self.environment(TPU | {"WAIT_MINUTES": "10000"})
        command = ["bash", self.tpu, "create"]
        result = subprocess.run(command, env=environment, stderr=writer, timeout=60)
        os.close(writer)
        self.assertEqual(result.returncode, 141)
        self.assertEqual(self.actions(), ["describe", "create", "describe", "delete"])
        self.assertFalse(self.exists())


class GenerationsTest(TpuScriptTest):
    """Every generation from v2 to v6e, small and large: the same script, for another slice."""

    @parameterized.parameters(
        ("v2-8", "tpu-ubuntu2204-base", 1),
        ("v2-512", "tpu-ubuntu2204-base", 64),
        ("v3-32", "tpu-ubuntu2204-base", 4),
        ("v4-8", "tpu-ubuntu2204-base", 1),
        ("v5e-8", "v2-alpha-tpuv5-lite", 1),
        ("v5litepod-256", "v2-alpha-tpuv5-lite", 64),
        ("v5p-128", "v2-alpha-tpuv5", 16),
        ("v6e-1", "v2-alpha-tpuv6e", 1),
        ("v6e-256", "v2-alpha-tpuv6e", 64),
    )
    def test_all_of_it(self, name, version, workers):
        self.tpu = self.script("tpu", name, ["--model_dir=${MODEL_DIR}"])
        dry = self.launch("--dry_run", "all")
        self.assertEqual(self.launch("all").returncode, 0)
        request = next(call for call in self.calls() if call[3] == "create")
        self.assertIn(f"--accelerator-type={accelerators.find(name).name}", request)
        self.assertIn(f"--runtime-version={version}", request)
        printed = fake_commands.parsed_lines(dry.stdout)
        self.assertEqual(printed, [["gcloud", *call] for call in self.calls()])
        beyond = self.launch("logs", WORKER=str(workers))
        self.assertIn(f"has the workers 0 to {workers - 1}, or all", beyond.stderr)
        self.assertEqual(self.launch("logs", WORKER=str(workers - 1)).returncode, 0)
        checked = subprocess.run(
            [fake_commands.shellcheck(self), self.tpu], capture_output=True, text=True
        )
        self.assertEqual(checked.stdout, "")


class EveryCallTest(TpuScriptTest):
    """Each single call of gcloud, of each command, fails once; or is refused."""

    def start_over(self, command, *failures):
        for name in ("calls.jsonl", "used.json", "states.json", "exists", "sleeps"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))
        if command not in ("create", "all"):
            self.write("exists", "")
        self.scenario(states=["PROVISIONING", "ACTIVE"], failures=failures)
        return self.launch(command)

    @parameterized.parameters(*COMMANDS)
    def test_a_passing_failure_changes_nothing(self, command):
        self.assertEqual(self.start_over(command).returncode, 0)
        expected, there = self.actions(), self.exists()
        for number in range(1, len(expected) + 1):
            # An answer that was lost after the call took effect; asking has no effect.
            for after in (False, True) if expected[number - 1] != "describe" else (False,):
                with self.subTest(call=number, action=expected[number - 1], after=after):
                    failing = {"call": number, "stderr": UNAVAILABLE, "after": after}
                    result = self.start_over(command, failing)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    repeated = self.actions()
                    self.assertEqual(repeated[number - 1], repeated.pop(number))
                    self.assertEqual(repeated, expected)
                    self.assertEqual(self.exists(), there)

    @parameterized.parameters(*COMMANDS)
    def test_a_refusal_is_told_and_nothing_bills_unsaid(self, command):
        self.start_over(command)
        expected = self.actions()
        for number in range(1, len(expected) + 1):
            with self.subTest(call=number, action=expected[number - 1]):
                denied = {"call": number, "stderr": "PERMISSION_DENIED: no"}
                result = self.start_over(command, denied)
                self.assertEqual(result.returncode, 1)
                self.assertIn("PERMISSION_DENIED: no", result.stderr)
                self.assertEqual(self.actions()[:number], expected[:number])
                # What follows, if anything, cleans up.
                self.assertLessEqual(set(self.actions()[number:]), {"delete"})
                if command == "create":
                    self.assertFalse(self.exists())
                elif command == "all" and self.exists():
                    self.assertIn("still exists and bills", result.stderr)


class StepsTest(TpuScriptTest):
    def test_install_copies_the_bundle_then_prepares_every_worker(self):
        self.assertEqual(self.launch("install", SETUP="echo hi").returncode, 0)
        copy, unpack, prepare = self.calls()
        bundle = self.path("bundle.tar.gz")
        self.assertEqual(copy[2:6], ["tpu-vm", "scp", bundle, "t:prompt_tuning_bundle.tar.gz"])
        self.assertIn("--worker=all", copy)
        for call, task in ((unpack, "worker_unpack"), (prepare, "worker_install")):
            self.assertEqual(call[2:9], ["tpu-vm", "ssh", "t", *PLACE, "--worker=all"])
            self.assertIn(task, call[-1])
        self.assertEndsWith(prepare[-1], r"//prompt_tuning:train echo\ hi")

    def test_install_clones(self):
        self.launch("install", BUNDLE="", REPOSITORY="https://x/y.git", REVISION="v1")
        self.assertEqual(self.actions(), ["ssh", "ssh"])
        self.assertEndsWith(self.calls()[0][-1], " https://x/y.git v1")

    def test_install_stops_at_the_first_failure(self):
        self.inject("scp", "INVALID_ARGUMENT: no")
        result = self.launch("install")
        self.assertEqual(result.returncode, 1)
        self.assertIn("could not be copied", result.stderr)
        self.assertEqual(self.actions(), ["scp"])

    def test_run_sends_its_own_flags_then_those_of_the_command_line(self):
        self.assertEqual(self.launch("run", "--", "--seed=1", "a b").returncode, 0)
        (call,) = self.calls()
        self.assertEndsWith(
            call[-1], r" r prompt_tuning/train --model_dir=gs://m --ck=c --seed=1 a\ b"
        )

    def test_a_lost_connection_is_tried_again_and_a_failing_command_is_not(self):
        self.inject("worker_start", "client_loop: send disconnect: Broken pipe", code=255, times=1)
        self.assertEqual(self.launch("run").returncode, 0)
        self.assertEqual(self.actions(), ["ssh", "ssh"])
        self.inject("worker_kill", "error: no", code=1)
        self.assertEqual(self.launch("kill").returncode, 1)
        self.assertEqual(self.actions(), 3 * ["ssh"])

    def test_all_in_order(self):
        result = self.launch("all")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(
            self.actions(), ["describe", "create", "describe", "scp", "ssh", "ssh", "ssh"]
        )
        self.assertTrue(self.exists())

    def test_all_keeps_the_tpu_when_a_later_step_fails_and_says_what_it_costs(self):
        self.inject("worker_install", "error: no compiler")
        result = self.launch("all")
        self.assertEqual(result.returncode, 1)
        self.assertIn("t still exists and bills", result.stderr)
        self.assertTrue(self.exists())
        self.assertNotIn("worker_start", str(self.calls()))

    def test_all_checks_everything_before_it_costs(self):
        self.assertEqual(self.launch("all", CHECKPOINT="").returncode, 2)
        self.assertEqual(self.calls(), [])

    def test_logs(self):
        self.launch("logs", "--follow", WORKER="3", LOG_LINES="7")
        (call,) = self.calls()
        self.assertIn("--worker=3", call)
        self.assertEndsWith(call[-1], " 7 true")

    def test_status_asks_the_workers_only_where_there_are_some(self):
        result = self.launch("status")
        self.assertEqual((result.returncode, result.stdout), (0, "t: ABSENT\n"))
        self.write("exists", "")
        self.assertEqual(self.launch("status").stdout, "t: ACTIVE\n")
        self.assertEqual(self.actions(), ["describe", "describe", "ssh"])

    def test_status_shows_why_it_cannot_tell(self):
        self.inject("describe", "PERMISSION_DENIED: not yours")
        result = self.launch("status")
        self.assertEqual(result.returncode, 1)
        self.assertIn("not yours", result.stderr)

    def test_delete_is_content_when_there_is_nothing(self):
        self.write("exists", "")
        for _ in range(2):
            self.assertEqual(self.launch("delete").returncode, 0)
            self.assertFalse(self.exists())
        self.inject("delete", "PERMISSION_DENIED: not yours")
        result = self.launch("delete")
        self.assertEqual(result.returncode, 1)
        self.assertIn("not yours", result.stderr)

    @parameterized.parameters("create", "install", "run", "logs", "kill", "all")
    def test_a_dry_run_prints_exactly_what_a_run_does(self, command):
        dry = self.launch("--dry_run", command, SETUP="a 'b'\n$c", MODEL_DIR="x'y z\n")
        self.assertEqual((dry.returncode, dry.stderr), (0, ""))
        self.assertEqual(self.calls(), [])
        real = self.launch(command, SETUP="a 'b'\n$c", MODEL_DIR="x'y z\n")
        self.assertEqual(real.returncode, 0, real.stderr)
        printed = fake_commands.parsed_lines(dry.stdout)
        self.assertNotEmpty(printed)
        self.assertEqual(printed, [["gcloud", *call] for call in self.calls()])

    @parameterized.parameters("status", "delete")
    def test_a_dry_run_of_what_needs_a_tpu(self, command):
        self.write("exists", "")
        printed = fake_commands.parsed_lines(self.launch(command, "--dry_run").stdout)
        self.assertEqual(self.calls(), [])
        self.launch(command)
        self.assertEqual(printed, [["gcloud", *call] for call in self.calls()])


class ShellcheckTest(TpuScriptTest):
    def test_script_is_clean(self):
        result = subprocess.run(
            [fake_commands.shellcheck(self), self.tpu], capture_output=True, text=True
        )
        self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    absltest.main()
