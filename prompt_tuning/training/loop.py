# SPDX-License-Identifier: Apache-2.0
"""The training loop: steps, and what happens between them.

Metrics stay on the device, summed there, and are fetched once per stats period. Knows no model, no
data set and no file format: trainer, batches, evaluation, checkpoints and displays are handed in.
"""

import collections
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from prompt_tuning.partitioning import processes
from prompt_tuning.training import checkpointing, interruption, metrics_writer, train_metrics
from prompt_tuning.training import progress as progress_lib
from prompt_tuning.training import trainer as trainer_lib
from prompt_tuning.training.train_state import TrainState

# Called as eval_fn(state, step); true ends the training (early stopping).
EvalFn = Callable[[TrainState, int], bool | None]

_DEFAULT_STATS_PERIOD = 100
# How far the host may run ahead of the device: enough to hide its own work, so little that a signal
# is answered soon and queued batches do not pile up.
_MAX_STEPS_AHEAD = 4


class NonFiniteLossError(ValueError):
    """The training loss became NaN or infinite. The last checkpoint is from before that."""


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a loop ended.

    Attributes:
      state: the last state; the one given to the loop was donated.
      steps: steps taken by this loop.
      steps_per_second: without the first step, evaluation and checkpoints; 0 below two steps.
      seconds_to_first_step: from the call until the first step's result, so with compilation.
      metrics: T5X's scalar tags over the last stats period.
      interrupted: name of the signal that ended the loop early ("SIGTERM"), else None.
      stopped_early: `eval_fn` asked for the end.
    """

    state: TrainState
    steps: int
    steps_per_second: float
    seconds_to_first_step: float
    metrics: dict[str, float]
    interrupted: str | None = None
    stopped_early: bool = False


@dataclasses.dataclass
class _Window:
    """Metric sums since the last report, on the device, and the time that belongs to them."""

    sums: trainer_lib.Metrics | None = None
    steps: int = 0
    seconds: float = 0.0

    def add(self, metrics: trainer_lib.Metrics) -> None:
        self.sums = dict(metrics) if self.sums is None else _add(self.sums, dict(metrics))
        self.steps += 1


@jax.jit
def _add(sums, metrics):
    return jax.tree.map(jnp.add, sums, metrics)


class _Loop:
    """One call of `run_training`, cut into its parts."""

    def __init__(self, trainer, state, frozen, batches, total_steps, **parts):
        self.trainer, self.state, self.frozen = trainer, state, frozen
        self.batches, self.total_steps = batches, total_steps
        self.manager: checkpointing.CheckpointManager | None = parts["checkpoint_manager"]
        self.progress, self.writer = parts["progress"], parts["writer"]
        self.eval_fn, self.eval_period = parts["eval_fn"], parts["eval_period"]
        self.is_evaluated, self.stop_fn = parts["is_evaluated"], parts["stop_fn"]
        self.stats_period, self.data_position = parts["stats_period"], parts["data_position"]
        self.full_checkpoints = parts["full_checkpoints"]
        self.start_time = time.monotonic()
        self.step = self.first_step = int(state.step)
        # Periods count from where the run began, which for a resumed run is not where this loop
        # begins, so that both evaluate and save at the same steps.
        self.origin = self.manager.record.first_step if self.manager else self.first_step
        self.window, self.last_scalars = _Window(), {}
        self.timed_steps, self.timed_seconds = 0, 0.0
        self.seconds_to_first_step = 0.0
        self.stopped_early = False
        # A signal to one process ends all of them, at the same step: they vote at every step, and
        # read the answers as late as lets the devices run ahead.
        self.ballot = processes.Ballot(trainer.partitioner.mesh)
        self.votes: collections.deque[Callable[[], int]] = collections.deque()
        self.signal = 0

    def run(self) -> TrainingResult:
        self.progress.start(self.first_step, self.total_steps)
        try:
            with interruption.InterruptionGuard() as guard:
                if self.step < self.total_steps:
                    self.save()  # As T5X: a run that dies at once still leaves its beginning.
                self.make_up_evaluation()
                self.hear_votes(guard)
                while self.step < self.total_steps and not (self.signal or self.stopped_early):
                    self.run_until_pause(guard)
                    self.pause(interrupted=self.signal != 0)
                    self.hear_votes(guard)
                if self.signal:
                    self.save()  # The signal may have come during an evaluation.
        finally:
            self.progress.stop()
        return TrainingResult(
            state=self.state,
            steps=self.step - self.first_step,
            steps_per_second=self.timed_steps / self.timed_seconds if self.timed_seconds else 0.0,
            seconds_to_first_step=self.seconds_to_first_step,
            metrics=self.last_scalars,
            interrupted=signal.Signals(self.signal).name if self.signal else None,
            stopped_early=self.stopped_early,
        )

    def run_until_pause(self, guard: interruption.InterruptionGuard) -> None:
        """Runs steps up to the next one after which the host has something to do."""
        began = time.monotonic()
        in_flight: collections.deque[Any] = collections.deque()
        while True:
            self.state, metrics = self.trainer.train_step(
                self.state, self.frozen, self.next_batch()
            )
            self.step += 1
            self.window.add(metrics)
            in_flight.append(metrics)
            if len(in_flight) > _MAX_STEPS_AHEAD:
                jax.block_until_ready(in_flight.popleft())  # Waits, but transfers nothing.
            self.progress.advance(self.step)
            if self.step == self.first_step + 1:
                jax.block_until_ready(metrics)
                self.seconds_to_first_step = time.monotonic() - self.start_time
                self.window.seconds += time.monotonic() - began
                began = time.monotonic()
            self.vote(guard)
            if self.signal or self.is_pause():
                break
        jax.block_until_ready(self.state)
        elapsed = time.monotonic() - began
        self.window.seconds += elapsed
        self.timed_seconds += elapsed
        self.timed_steps = self.step - self.first_step - 1

    def vote(self, guard: interruption.InterruptionGuard) -> None:
        """Gives this step's vote; hears that of an earlier one, if other processes vote too."""
        self.votes.append(self.ballot.vote(guard.received or 0))
        if len(self.votes) > (_MAX_STEPS_AHEAD if self.ballot.shared else 0):
            self.signal = max(self.signal, self.votes.popleft()())

    def hear_votes(self, guard: interruption.InterruptionGuard) -> None:
        """Votes once more, and waits for all answers."""
        self.votes.append(self.ballot.vote(guard.received or 0))
        while self.votes:
            self.signal = max(self.signal, self.votes.popleft()())

    def next_batch(self) -> Mapping[str, Any]:
        try:
            return next(self.batches)
        except StopIteration:
            raise ValueError(
                f"the training data ended at step {self.step}, before TRAIN_STEPS = "
                f"{self.total_steps}; let the data repeat or lower TRAIN_STEPS."
            ) from None

    def is_pause(self) -> bool:
        return (
            self.step >= self.total_steps
            or self.every(self.stats_period)
            or self.every(self.eval_period)
            or (self.manager is not None and self.manager.due(self.step))
        )

    def every(self, period: int | None) -> bool:
        return (self.step - self.origin) % period == 0 if period else False

    def pause(self, interrupted: bool) -> None:
        """Fetches metrics; saves and evaluates when due. A NaN is found before it is saved."""
        self.report()
        at_end = self.step >= self.total_steps
        if at_end or (self.manager is not None and self.manager.due(self.step)):
            self.save()
        if self.eval_fn is None or not (at_end or self.every(self.eval_period)):
            return
        if interrupted and not at_end:
            return  # Whoever sent the signal is waiting.
        self.evaluate()

    def evaluate(self) -> None:
        stop = bool(self.eval_fn(self.state, self.step))
        stop = bool(self.stop_fn is not None and self.stop_fn(self.state)) or stop
        self.stopped_early = stop and self.step < self.total_steps
        if self.stopped_early:
            self.save()

    def make_up_evaluation(self) -> None:
        """Evaluates a restored step whose evaluation was due when an earlier process died."""
        done = self.is_evaluated is None or self.is_evaluated(self.step)
        due = self.every(self.eval_period) or self.step >= self.total_steps
        if self.eval_fn is not None and not done and due and self.step > self.origin:
            self.evaluate()

    def report(self) -> None:
        sums = {name: float(value) for name, value in jax.device_get(self.window.sums).items()}
        _check_finite(sums, self.step - self.window.steps, self.step)
        scalars = train_metrics.summarize(
            sums, self.window.steps, self.window.seconds, jax.device_count()
        )
        scalars["learning_rate/current"] = float(self.trainer.learning_rate_fn(self.step - 1))
        scalars["timing/uptime"] = time.monotonic() - self.start_time
        self.progress.report(self.step, scalars)
        if self.writer is not None:
            self.writer.write_scalars(self.step, scalars)
        self.last_scalars, self.window = scalars, _Window()

    def save(self) -> None:
        if self.manager is None:
            return
        frozen = self.frozen if self.full_checkpoints else None
        path = self.manager.save(self.state, self.data_position, frozen)
        if path is not None and self.step > self.first_step:
            self.progress.note(f"saved {path}")


def _check_finite(sums: Mapping[str, float], first_step: int, last_step: int) -> None:
    loss = sums.get("loss", 0.0)
    if not math.isfinite(loss):
        raise NonFiniteLossError(
            f"the training loss became {loss} between steps {first_step} and {last_step}; nothing "
            "was saved since. Lower the learning rate "
            "(utils.create_learning_rate_scheduler.base_learning_rate), or use ACTIVATION_DTYPE = "
            "'float32'."
        )


def run_training(
    trainer: trainer_lib.Trainer,
    state: TrainState,
    frozen: trainer_lib.FlatParams,
    batches: Iterator[trainer_lib.Batch],
    total_steps: int,
    *,
    eval_period: int | None = None,
    eval_fn: EvalFn | None = None,
    is_evaluated: Callable[[int], bool] | None = None,
    stop_fn: Callable[[TrainState], bool] | None = None,
    stats_period: int | None = None,
    checkpoint_manager: checkpointing.CheckpointManager | None = None,
    full_checkpoints: bool = False,
    data_position: Callable[[str], None] | None = None,
    progress: progress_lib.Progress | None = None,
    writer: metrics_writer.MetricsWriter | None = None,
) -> TrainingResult:
    """Trains from the state's step up to `total_steps`.

    Args:
      trainer: runs a step.
      state: donated; go on with the result's.
      frozen: the parameters that do not train.
      batches: next() gives a batch of numpy arrays.
      total_steps: the absolute last step, which includes the base checkpoint's.
      eval_period: steps between calls of `eval_fn`, counted from the run's first step.
      eval_fn: called as `(state, step)` after every period and after the last step; a true result
        ends the training.
      is_evaluated: asked once, for the step that the state is at: whether an earlier process has
        evaluated it already. If not, and it was due, the loop begins with that; default: it has.
      stop_fn: called after `eval_fn`; a true result ends the training, too.
      stats_period: steps between two fetches of metrics; default: eval_period, at most 100.
      checkpoint_manager: saves before the first step, when due, and at the end.
      full_checkpoints: save the frozen parameters, too.
      data_position: the batches' `save(path)`; default: their attribute of that name, if any.
      progress: display; default none.
      writer: TensorBoard scalars; default none.

    Returns:
      The result. After SIGINT or SIGTERM, to any of the run's processes, all finish the same step
      and save it, and `interrupted` names the signal: the same call with the restored state goes on
      bit for bit.

    Raises:
      ValueError: when `total_steps` lies before the state's step, or the data ends too early.
      NonFiniteLossError: when the loss is NaN or infinite.
    """
    first_step = int(state.step)
    if total_steps < first_step:
        raise ValueError(
            f"TRAIN_STEPS is {total_steps}, but the checkpoint is at step {first_step}, which "
            f"TRAIN_STEPS includes; it must be at least {first_step}, e.g. "
            f"{first_step + 1000} for 1000 more."
        )
    for name, period in (("EVAL_PERIOD", eval_period), ("stats_period", stats_period)):
        if period is not None and period < 1:
            raise ValueError(f"{name} is {period}; it must be at least 1 or None.")
    return _Loop(
        trainer,
        state,
        frozen,
        batches,
        total_steps,
        eval_fn=eval_fn,
        eval_period=eval_period,
        is_evaluated=is_evaluated,
        stop_fn=stop_fn,
        stats_period=stats_period or min(eval_period or math.inf, _DEFAULT_STATS_PERIOD),
        checkpoint_manager=checkpoint_manager,
        full_checkpoints=full_checkpoints,
        data_position=data_position or getattr(batches, "save", None),
        progress=progress or progress_lib.NoProgress(),
        writer=writer,
    ).run()
