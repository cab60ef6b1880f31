# SPDX-License-Identifier: Apache-2.0
"""Runs of processes on loopback: asked to stop, killed, gone on with; and undisturbed."""

import signal

from absl.testing import absltest, parameterized

from tests.end_to_end import programs, toy_processes, toy_run

STEPS, PERIOD = 60, 10


class SeveralProcessesTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = programs.new_folder(cls)

    def start(self, name: str, seconds: float = 0.0, **options) -> toy_processes.Processes:
        settings = {"steps": STEPS, "period": PERIOD, "seconds": seconds, **options}
        return toy_processes.Processes(
            self.folder, 2, 1, model_dir=str(self.folder / name), **settings
        )

    def assert_all(self, ended, code: int) -> None:
        for found, text in ended:
            self.assertEqual(found, code, text)

    def test_stopped_then_killed_then_gone_on_with(self):
        whole, disturbed = self.folder / "whole", self.folder / "disturbed"
        self.assert_all(self.start("whole").end(), 0)

        # The signal goes to the process that does not write; both stop at the same step.
        run = self.start("disturbed", 0.05)
        run.wait_for(disturbed / f"checkpoint_{PERIOD}" / "checkpoint")
        run.all[1].send_signal(signal.SIGTERM)
        ended = run.end()
        self.assert_all(ended, toy_run.INTERRUPTED)
        said = {text.splitlines()[-1] for _, text in ended}
        step = programs.steps(disturbed)[-1]
        self.assertEqual(said, {f"SIGTERM at step {step}"})
        self.assertLess(step, STEPS - 2 * PERIOD, "The signal came too late for the rest.")

        # One is killed in the middle of a step: the other says so, and ends.
        run = self.start("disturbed", 0.05)
        run.wait_for(disturbed / f"checkpoint_{(step // PERIOD + 1) * PERIOD}" / "checkpoint")
        run.all[1].kill()
        (code, text), _ = run.end()
        self.assertEqual(code, toy_run.LOST, text)
        self.assertIn("process 0 of 2 stops, because another process of the run is gone", text)
        self.assertNotIn("Traceback", text)

        self.assert_all(self.start("disturbed").end(), 0)
        for at in (PERIOD, STEPS):
            self.assertEqual(
                programs.prompt_path(disturbed, at).read_bytes(),
                programs.prompt_path(whole, at).read_bytes(),
                f"the prompt of step {at}",
            )


class SameMeshTest(parameterized.TestCase):
    """A mesh trains the same bits whether its devices are those of one process or of several."""

    @parameterized.named_parameters(
        ("two_copies", 2, {}),
        ("one_copy_over_two", 2, {"num_partitions": 2}),
        ("two_fully_sharded_copies_over_four", 4, {"num_partitions": 2, "fully_sharded": True}),
    )
    def test_as_one_process(self, count, options):
        folder = programs.new_folder(type(self))
        together = toy_processes.trained(folder, "together", 1, count, **options)
        apart = toy_processes.trained(folder, "apart", count, 1, **options)
        self.assertEqual(apart, together)


if __name__ == "__main__":
    absltest.main()
