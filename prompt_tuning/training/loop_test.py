# SPDX-License-Identifier: Apache-2.0
"""Tests of the training loop: its rhythm, its result, interruption and resumption."""

import functools
import os
import signal

import jax
import numpy as np
from absl.testing import absltest, parameterized
from tensorboard.backend.event_processing import event_accumulator

from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.training import (
    adafactor,
    checkpointing,
    loop,
    metrics_writer,
    optimizers,
    progress,
    schedules,
    toy_model,
)
from prompt_tuning.training import trainer as trainer_lib

jax.config.update("jax_numpy_rank_promotion", "raise")


@functools.cache  # It holds no state, and compiles once for all tests.
def _trainer():
    traversal = optimizers.ModelParamTraversal(optimizers.match_any([toy_model.PROMPT_REGEX]))
    optimizer = optimizers.MultiOptimizer(
        [(traversal, adafactor.Adafactor(multiply_by_parameter_scale=False))]
    )
    return trainer_lib.Trainer(
        toy_model.ToyModel(dropout_rate=0.3),
        optimizer,
        schedules.create_learning_rate_scheduler("constant", 0.3),
        rng=jax.random.PRNGKey(0),
    )


class Recorder(progress.NoProgress):
    """Remembers what the loop said, and may act at a step."""

    def __init__(self, at_step=None, action=None):
        self.events, self.notes, self.reports = [], [], {}
        self._at_step, self._action = at_step, action

    def start(self, first_step, total_steps):
        self.events.append(("start", first_step, total_steps))

    def advance(self, step):
        if step == self._at_step:
            self._action()

    def report(self, step, scalars):
        self.reports[step] = scalars

    def note(self, text):
        self.notes.append(text)

    def stop(self):
        self.events.append(("stop",))


class TestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = self.create_tempdir().full_path

    def run_loop(self, total_steps, first_step=0, trainer=None, batches=None, **kwargs):
        trainer = trainer or _trainer()
        state, frozen = trainer.init_state(toy_model.make_params(), first_step)
        return loop.run_training(
            trainer, state, frozen, batches or toy_model.Batches(), total_steps, **kwargs
        )

    def manager(self, period=None, first_step=0, **kwargs):
        record = checkpointing.RunRecord("1-abc", (), 0, first_step)
        return checkpointing.CheckpointManager(self.model_dir, period, record=record, **kwargs)

    def resume(self, total_steps, manager, **kwargs):
        trainer, batches = _trainer(), toy_model.Batches()
        state, frozen = trainer.init_state(toy_model.make_params(seed=0))
        restored = manager.restore_latest(state)
        batches.restore(restored.data_position)
        return loop.run_training(
            trainer,
            restored.state,
            frozen,
            batches,
            total_steps,
            checkpoint_manager=manager,
            **kwargs,
        )

    def assert_same_state(self, ours, theirs):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


class RhythmTest(TestCase):
    def test_result(self):
        result = self.run_loop(1_100_020, first_step=1_100_000)
        self.assertEqual(int(result.state.step), 1_100_020)
        self.assertEqual(result.steps, 20)
        self.assertGreater(result.steps_per_second, 0.0)
        self.assertGreater(result.seconds_to_first_step, 0.0)
        self.assertIsNone(result.interrupted)
        for tag in ("loss", "accuracy", "learning_rate/current", "timing/steps_per_second"):
            self.assertIn(tag, result.metrics)

    def test_equals_calling_the_trainer_by_hand(self):
        result = self.run_loop(7, stats_period=3)
        trainer, batches = _trainer(), toy_model.Batches()
        state, frozen = trainer.init_state(toy_model.make_params())
        for _ in range(7):
            state, _ = trainer.train_step(state, frozen, next(batches))
        self.assert_same_state(result.state, state)

    def test_metrics_are_averages_over_the_stats_period(self):
        recorder = Recorder()
        self.run_loop(8, stats_period=3, progress=recorder)
        self.assertEqual(list(recorder.reports), [3, 6, 8])
        trainer, batches, losses = _trainer(), toy_model.Batches(), []
        state, frozen = trainer.init_state(toy_model.make_params())
        for _ in range(8):
            state, metrics = trainer.train_step(state, frozen, next(batches))
            losses.append(float(metrics["loss"]))
        for step, window in ((3, losses[:3]), (6, losses[3:6]), (8, losses[6:])):
            np.testing.assert_allclose(recorder.reports[step]["loss"], np.mean(window), rtol=1e-5)

    def test_metrics_are_fetched_once_per_period(self):
        fetches, original = [], jax.device_get

        def counting(tree):
            fetches.append(tree)
            return original(tree)

        jax.device_get = counting
        try:
            self.run_loop(20, stats_period=10)
        finally:
            jax.device_get = original
        self.assertLen(fetches, 2)

    def test_evaluation_after_every_period_and_at_the_end(self):
        calls = []
        result = self.run_loop(
            10,
            first_step=3,
            eval_period=3,
            eval_fn=lambda state, step: calls.append((int(state.step), step)),
        )
        self.assertEqual(calls, [(6, 6), (9, 9), (10, 10)])
        self.assertFalse(result.stopped_early)

    def test_evaluation_can_end_the_training(self):
        manager = self.manager()
        result = self.run_loop(
            100, eval_period=5, eval_fn=lambda state, step: step >= 10, checkpoint_manager=manager
        )
        self.assertTrue(result.stopped_early)
        self.assertEqual(result.steps, 10)
        self.assertEqual(t5x_format.checkpoint_steps(self.model_dir), [0, 10])

    @parameterized.parameters(
        (10, False, [10, 15, 20]),  # Killed between saving and evaluating.
        (10, True, [15, 20]),
        (12, False, [15, 20]),  # Nothing was due there.
        (0, False, [5, 10, 15, 20]),  # The beginning is not evaluated.
        (20, False, [20]),
        (20, True, []),
    )
    def test_evaluation_that_is_owed_is_made_up(self, step, evaluated, expected):
        calls, asked = [], []
        self.run_loop(
            20,
            first_step=step,
            eval_period=5,
            eval_fn=lambda state, step: calls.append(int(state.step)),
            is_evaluated=lambda step: asked.append(step) or evaluated,
            checkpoint_manager=self.manager(first_step=0),
        )
        self.assertEqual(calls, expected)
        self.assertEqual(asked, [step])

    def test_an_owed_evaluation_can_end_the_training(self):
        result = self.run_loop(
            20,
            first_step=10,
            eval_period=5,
            eval_fn=lambda state, step: True,
            is_evaluated=lambda step: False,
            checkpoint_manager=self.manager(first_step=0),
        )
        self.assertEqual((result.steps, result.stopped_early), (0, True))

    def test_what_judges_an_evaluation_can_end_the_training(self):
        calls = []
        result = self.run_loop(
            100,
            eval_period=5,
            eval_fn=lambda state, step: calls.append(step),
            stop_fn=lambda state: int(state.step) >= 10,
        )
        self.assertEqual((result.steps, result.stopped_early, calls), (10, True, [5, 10]))

    def test_checkpoints_before_the_first_step_when_due_and_at_the_end(self):
        recorder = Recorder()
        self.run_loop(110, 3, checkpoint_manager=self.manager(50, first_step=3), progress=recorder)
        self.assertEqual(t5x_format.checkpoint_steps(self.model_dir), [3, 53, 103, 110])
        self.assertLen(recorder.notes, 3)

    def test_full_checkpoints(self):
        self.run_loop(1, checkpoint_manager=self.manager(), full_checkpoints=True)
        names = t5x_format.open_checkpoint(self.model_dir).target()
        self.assertEqual(set(names), set(toy_model.make_params()))

    def test_tensorboard_tags(self):
        directory = os.path.join(self.model_dir, "train")
        with metrics_writer.MetricsWriter(directory) as writer:
            self.run_loop(4, stats_period=2, writer=writer)
        events = event_accumulator.EventAccumulator(directory)
        events.Reload()
        self.assertContainsSubset(
            {"loss", "cross_ent_loss", "learning_rate", "timing/uptime"},
            set(events.Tags()["tensors"]),
        )
        self.assertEqual([event.step for event in events.Tensors("loss")], [2, 4])


class BoundsTest(TestCase):
    def test_nothing_left_to_do(self):
        result = self.run_loop(5, first_step=5, checkpoint_manager=self.manager(first_step=5))
        self.assertEqual((result.steps, result.steps_per_second), (0, 0.0))
        self.assertEqual(result.metrics, {})

    def test_total_steps_before_the_checkpoint(self):
        with self.assertRaisesRegex(ValueError, "TRAIN_STEPS is 300.*at step 1100000"):
            self.run_loop(300, first_step=1_100_000)

    @parameterized.parameters({"eval_period": 0}, {"stats_period": -1})
    def test_bad_periods(self, **kwargs):
        with self.assertRaisesRegex(ValueError, "must be at least 1"):
            self.run_loop(3, **kwargs)

    def test_data_that_ends(self):
        batches = iter([toy_model.make_batch(i) for i in range(2)])
        recorder = Recorder()
        with self.assertRaisesRegex(ValueError, "training data ended at step 2"):
            self.run_loop(5, batches=batches, progress=recorder)
        self.assertEqual(recorder.events[-1], ("stop",))

    def test_nan_loss_is_an_error_and_is_not_saved(self):
        class Poisoned(toy_model.Batches):
            def __next__(self):
                batch = super().__next__()
                if self.position == 15:
                    batch["decoder_loss_weights"] *= np.nan
                return batch

        with self.assertRaisesRegex(loop.NonFiniteLossError, "between steps 10 and 20"):
            self.run_loop(
                50, stats_period=10, batches=Poisoned(), checkpoint_manager=self.manager(10)
            )
        self.assertEqual(t5x_format.checkpoint_steps(self.model_dir), [0, 10])
        self.assertTrue(issubclass(loop.NonFiniteLossError, ValueError))


class ResumeTest(TestCase):
    @parameterized.parameters(signal.SIGINT, signal.SIGTERM)
    def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(self, number):
        expected = self.run_loop(30, stats_period=7).state
        recorder = Recorder(13, lambda: os.kill(os.getpid(), number))
        result = self.run_loop(
            30, stats_period=7, checkpoint_manager=self.manager(10), progress=recorder
        )
        self.assertEqual(result.interrupted, number.name)
        self.assertEqual(int(result.state.step), 13)
        self.assertEqual(t5x_format.checkpoint_steps(self.model_dir), [0, 10, 13])
        self.assertEqual(recorder.events[-1], ("stop",))
        resumed = self.resume(30, self.manager(10, first_step=13))
        self.assertIsNone(resumed.interrupted)
        self.assertEqual(resumed.steps, 17)
        self.assert_same_state(resumed.state, expected)
        # And it saved where the uninterrupted run would have.
        self.assertEqual(t5x_format.checkpoint_steps(self.model_dir), [0, 10, 13, 20, 30])

    def test_resume_from_an_older_period_after_a_crash(self):
        expected = self.run_loop(30).state

        def crash():
            raise RuntimeError("power cut")

        with self.assertRaisesRegex(RuntimeError, "power cut"):
            self.run_loop(30, checkpoint_manager=self.manager(10), progress=Recorder(25, crash))
        self.assert_same_state(self.resume(30, self.manager(10)).state, expected)

    def test_a_signal_during_an_evaluation_saves_the_step_of_that_evaluation(self):
        result = self.run_loop(
            30,
            eval_period=4,
            eval_fn=lambda state, step: os.kill(os.getpid(), signal.SIGTERM),
            checkpoint_manager=self.manager(10),
        )
        self.assertEqual((result.interrupted, result.steps), ("SIGTERM", 4))
        self.assertEqual(t5x_format.checkpoint_steps(self.model_dir), [0, 4])

    def test_an_interrupted_run_does_not_evaluate(self):
        calls = []
        recorder = Recorder(4, lambda: os.kill(os.getpid(), signal.SIGINT))
        self.run_loop(
            30, eval_period=2, eval_fn=lambda s, step: calls.append(step), progress=recorder
        )
        self.assertEqual(calls, [2])


if __name__ == "__main__":
    absltest.main()
