# SPDX-License-Identifier: Apache-2.0
"""The parts of the benchmark that need no peer; the speed of anything is not tested."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from tests.benchmarks import training_benchmark, training_cases, training_worker

_ECHO = """
import json, sys
print("noise"); print(json.dumps({"cpu": 7.0}), flush=True)
for number, line in enumerate(sys.stdin):
    print(json.dumps({"cpu": number + 1.0, "wall": 10.0 * number}), flush=True)
"""


def _program(name):
    process = subprocess.Popen(
        [sys.executable, "-c", _ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return training_benchmark.Program(name, process, training_benchmark._read(process, name))


class TrainingBenchmarkTest(parameterized.TestCase):
    def test_a_program_answers_each_command(self):
        program = _program("a")
        self.assertEqual(program.first_step, {"cpu": 7.0})
        self.assertEqual(program.ask("pass")["cpu"], 1.0)
        program.close()
        self.assertEqual(program.process.returncode, 0)

    def test_a_program_that_dies_is_named(self):
        process = subprocess.Popen(
            [sys.executable, "-c", "raise SystemExit(3)"], stdout=subprocess.PIPE, text=True
        )
        with self.assertRaisesRegex(RuntimeError, "peer ended with code 3"):
            training_benchmark._read(process, "peer")

    def test_medians_leave_out_the_first_pass(self):
        programs = [_program("a"), _program("b")]
        found = training_benchmark.in_turns(programs, 3)
        for program in programs:
            program.close()
        self.assertEqual(found, {name: {"cpu": 3.0, "wall": 20.0} for name in ("a", "b")})


class TrainingCasesTest(parameterized.TestCase):
    def test_a_fixed_batch_is_shifted_and_without_padding(self):
        batch = training_cases.fixed_batch(2, 5, 3, 40)
        np.testing.assert_array_equal(batch["decoder_input_tokens"][:, 0], 0)
        np.testing.assert_array_equal(
            batch["decoder_input_tokens"][:, 1:], batch["decoder_target_tokens"][:, :-1]
        )
        self.assertGreater(batch["encoder_input_tokens"].min(), 2)

    def test_texts_have_the_lengths_of_sst2(self):
        rows = training_cases.text_rows(2000)
        lengths = [len(text.split()) for text, _ in rows]
        self.assertAlmostEqual(np.mean(lengths), 9.4, delta=0.7)
        self.assertAlmostEqual(np.median(lengths), 7, delta=1)
        self.assertEqual({label for _, label in rows}, {"negative", "positive"})

    def test_minimum_flops_of_a_network_without_attention_are_known(self):
        sizes = training_cases.SIZES["small"]
        # The reference's figure for batch 4 and 128 + 100 positions.
        self.assertAlmostEqual(
            training_cases.minimum_flops(sizes, 4, 228, 8) / 1e9, 93.2, delta=2.0
        )


class _Trained:
    """Counts its steps; at the fourth something happens."""

    def __init__(self, error=None):
        self.steps, self.error = 0, error

    def step(self, batch):
        self.steps += 1
        if self.steps == 4 and self.error:
            raise self.error
        return jnp.float32(batch["x"].sum() / self.steps)


class TrainingWorkerTest(absltest.TestCase):
    def _server(self, error=None):
        batch = self.create_tempfile("batch.npz").full_path
        np.savez(batch, x=np.ones(6))
        return training_worker.Server(_Trained(error), {"batch": batch})

    def test_a_pass_has_as_many_steps_as_asked_for(self):
        server = self._server()
        self.assertEqual(server.first_step()["loss"], 6.0)
        self.assertEqual(server.answer("pass 2\n")["loss"], 2.0)
        self.assertEqual(server.answer("wait")["loss"], 1.5)
        self.assertEqual(server.trained.steps, 4)

    def test_another_batch_is_taken(self):
        server, other = self._server(), self.create_tempfile("other.npz").full_path
        np.savez(other, x=np.zeros(3))
        server.answer(f"batch {other}")
        self.assertEqual(server.answer("pass")["loss"], 0.0)

    def test_a_device_that_is_too_small_is_an_answer_and_other_errors_are_not(self):
        full = self._server(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
        self.assertEqual(full.answer("pass 5"), {"out_of_memory": True})
        broken = self._server(jax.errors.JaxRuntimeError("INTERNAL: broken"))
        with self.assertRaisesRegex(jax.errors.JaxRuntimeError, "broken"):
            broken.answer("pass 5")
        with self.assertRaisesRegex(ValueError, "'run'; accepted are pass"):
            broken.answer("run")

    def test_peak_is_at_least_what_is_held(self):
        held = np.ones(50_000_000, np.int8)
        self.assertGreater(training_worker.peak_bytes(), held.nbytes)


if __name__ == "__main__":
    absltest.main()
