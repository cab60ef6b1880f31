# SPDX-License-Identifier: Apache-2.0
"""Tests of T5X's flags about processes."""

import socket
from unittest import mock

import jax
from absl import flags
from absl.testing import absltest, parameterized

from prompt_tuning.config import process_flags

_NOTHING = {**dict.fromkeys(process_flags.PROCESS_FLAGS), "multiprocess_gpu": False}


class ProcessFlagsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.joined = self.enter_context(mock.patch.object(jax.distributed, "initialize"))

    def values(self, *arguments):
        values = flags.FlagValues()
        process_flags.define_flags(values)
        process_flags.define_flags(values)  # Again does nothing.
        values(["program", *arguments])
        return {name: values[name].value for name in process_flags.PROCESS_FLAGS}

    def test_without_the_flags_nothing_is_joined(self):
        self.assertEqual(self.values(), _NOTHING)
        process_flags.initialize(_NOTHING, {})
        self.joined.assert_not_called()

    def test_t5x_flags_reach_jax(self):
        given = self.values(
            "--multiprocess_gpu",
            "--coordinator_address=localhost:1234",
            "--process_count=1",
            "--process_index=0",
            "--initialization_timeout=20",
        )
        process_flags.initialize(given)
        self.joined.assert_called_once_with(
            coordinator_address="localhost:1234",
            num_processes=1,
            process_id=0,
            initialization_timeout=20,
        )

    def test_jax_may_find_the_processes_by_itself(self):
        process_flags.initialize(self.values("--multiprocess_gpu"))
        self.joined.assert_called_once_with()

    def test_what_jax_refuses_is_the_users_mistake(self):
        self.joined.side_effect = ValueError("coordinator_address should be defined.")
        with self.assertRaisesRegex(ValueError, "should be defined. Check --coordinator_address"):
            process_flags.initialize(self.values("--multiprocess_gpu"))

    def test_variables_stand_for_flags_and_flags_win(self):
        environment = {
            "JAX_COORDINATOR_ADDRESS": "host:1",
            "JAX_NUM_PROCESSES": "4",
            "JAX_PROCESS_ID": "3",
        }
        process_flags.initialize(self.values("--process_index=2"), environment)
        self.joined.assert_called_once_with(
            coordinator_address="host:1", num_processes=4, process_id=2
        )

    def test_a_variable_that_is_no_number(self):
        with self.assertRaisesRegex(ValueError, "JAX_NUM_PROCESSES is 'all'.*--process_count"):
            process_flags.initialize(_NOTHING, {"JAX_NUM_PROCESSES": "all"})

    @parameterized.parameters(
        ({"SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "a,b"}, True),
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "a"}, False),
        ({"SLURM_NTASKS": "2"}, False),  # A shell in an allocation, not a step.
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_MCA_orte_hnp_uri": "1;tcp://h:1"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a"}, False),
        ({"MEGASCALE_COORDINATOR_ADDRESS": "a"}, True),
    )
    def test_the_clusters_own_variables(self, environment, joins):
        process_flags.initialize(_NOTHING, environment)
        self.assertEqual(self.joined.called, joins)

    def test_a_dead_process_is_not_waited_for_at_the_end_either(self):
        process_flags.initialize(self.values("--heartbeat_timeout=7"), {})
        self.joined.assert_called_once_with(heartbeat_timeout_seconds=7, shutdown_timeout_seconds=7)

    def test_leaves_at_once_only_a_run_of_several_that_failed(self):
        with mock.patch.object(process_flags.os, "_exit") as leave:
            process_flags.leave(0)
            with mock.patch.object(jax.distributed, "is_initialized", return_value=True):
                process_flags.leave(2)
                leave.assert_not_called()
                with mock.patch.object(jax, "process_count", return_value=2):
                    process_flags.leave(2)
        leave.assert_called_once_with(2)

    @parameterized.parameters("--process_count=0", "--process_index=-1", "--run_mode=serve")
    def test_values_out_of_range(self, flag):
        with self.assertRaises(flags.IllegalFlagValueError):
            self.values(flag)

    @parameterized.parameters(
        ("train", None), ("train", "train"), ("evaluate", "eval"), ("infer", "infer")
    )
    def test_the_mode_of_the_program(self, entry_point, mode):
        process_flags.check_run_mode(entry_point, mode)

    @parameterized.parameters(
        ("train", "eval", "tools/bazel run //prompt_tuning:eval"),
        ("infer", "train", "tools/bazel run //prompt_tuning:train"),
        ("train", "export", "export is not supported; accepted are train, eval, infer"),
    )
    def test_another_mode(self, entry_point, mode, pattern):
        with self.assertRaisesRegex(ValueError, pattern):
            process_flags.check_run_mode(entry_point, mode)


class OneProcessTest(absltest.TestCase):
    def test_one_real_process_joins_itself(self):
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{server.getsockname()[1]}"
        given = {**_NOTHING, "coordinator_address": address, "process_count": 1, "process_index": 0}
        self.addCleanup(jax.distributed.shutdown)
        process_flags.initialize(given)
        self.assertTrue(jax.distributed.is_initialized())


if __name__ == "__main__":
    absltest.main()
