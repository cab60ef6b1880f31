# SPDX-License-Identifier: Apache-2.0
"""Tests of agreement in one process, and of what is said when another one dies.

`tests/end_to_end/several_processes_test` has the real processes.
"""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from prompt_tuning.partitioning import mesh, processes


class OneProcessTest(absltest.TestCase):
    def test_agrees_with_itself_at_once(self):
        self.assertTrue(processes.leads())
        self.assertEqual(processes.of_leader(7), 7)
        processes.wait_for_all("here")
        processes.check_same("runs/a", "--model_dir")

    def test_votes(self):
        ballot = processes.Ballot(mesh.make_mesh())
        self.assertFalse(ballot.shared)
        self.assertEqual([ballot.vote(number)() for number in (0, 15)], [0, 15])

    def test_fetch(self):
        found = processes.fetch({"a": jnp.arange(3), "b": np.float32(2)})
        self.assertIsInstance(found["a"], np.ndarray)
        np.testing.assert_array_equal(found["a"], [0, 1, 2])


class ManyProcessesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(jax, "process_count", return_value=4))

    def test_another_setting_is_named_with_its_process(self):
        def gathered(data):
            other = np.frombuffer(b"runs/b".ljust(4096, b"\0"), np.uint8)
            return np.stack([data, data, other, data])

        gather = mock.patch.object(processes.multihost_utils, "process_allgather", gathered)
        with (
            gather,
            self.assertRaisesRegex(
                ValueError, "process 2 has 'runs/b' for --model_dir, and process 0 has 'runs/a'"
            ),
        ):
            processes.check_same("runs/a", "--model_dir")

    @parameterized.parameters(jax.errors.JaxRuntimeError, ValueError)
    def test_a_lost_process_is_one_sentence(self, kind):
        text = "UNKNOWN: Gloo all-reduce failed: Connection reset by peer\nmore"
        with self.assertRaisesRegex(processes.ProcessLostError, "is gone.*goes on from its last"):
            with processes.losses_told():
                raise kind(text)

    def test_other_errors_stay(self):
        with self.assertRaisesRegex(RuntimeError, "RESOURCE_EXHAUSTED"):
            with processes.losses_told():
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    def test_a_users_mistake_stays_one(self):
        with self.assertRaisesRegex(ValueError, "^--heartbeat_timeout"):
            with processes.losses_told():
                raise ValueError("--heartbeat_timeout is 0; it must be at least 1.")


class LossInOneProcessTest(absltest.TestCase):
    def test_is_none(self):
        with self.assertRaises(jax.errors.JaxRuntimeError):
            with processes.losses_told():
                raise jax.errors.JaxRuntimeError("UNAVAILABLE: Gloo")


if __name__ == "__main__":
    absltest.main()
