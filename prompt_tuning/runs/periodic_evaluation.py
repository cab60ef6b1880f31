# SPDX-License-Identifier: Apache-2.0
"""What a training run evaluates while it trains: the task's metrics, and the teacher-forced loss.

The loss goes to TensorBoard under T5X's `training_eval/{task}`; the metrics' files are
`data.evaluation`'s.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from prompt_tuning.partitioning import processes
from prompt_tuning.runs import evaluation
from prompt_tuning.training import metrics_writer, subset, train_metrics
from prompt_tuning.training import trainer as trainer_lib
from prompt_tuning.training.train_state import TrainState

# T5X cuts names of tasks so that the folder's name stays legal.
_MAX_NAME = 113


class PeriodicEvaluation:
    """Called as `(state, step)` by the training loop.

    Attributes:
      latest: figures of the last call (see `SplitEvaluator.figures`) and the task's own metrics,
        None before it.
      scores: all values of the last call by name: those figures, the task's own metrics, and the
        teacher-forced "loss" for each target token.
    """

    def __init__(
        self,
        model_dir: str,
        display: Any,
        trainer: trainer_lib.Trainer,
        frozen: Mapping[str, jax.Array],
        *,
        evaluator: evaluation.SplitEvaluator | None,
        batches: Callable[[], Iterator[Mapping[str, Any]]] | None,
        num_batches: int,
    ):
        """Touches nothing yet.

        Args:
          model_dir: gets `training_eval`.
          display: gets one note for each call.
          trainer: computes the teacher-forced loss.
          frozen: the parameters that do not train.
          evaluator: of the task's metrics, or None.
          batches: makes the batches of one teacher-forced evaluation, or None.
          num_batches: how many of them at most.
        """
        self._model_dir, self._display = model_dir, display
        self._trainer, self._frozen = trainer, frozen
        self._evaluator, self._batches, self._num_batches = evaluator, batches, num_batches
        self._writer: metrics_writer.MetricsWriter | None = None
        self.latest: dict[str, float] | None = None
        self._losses: dict[str, dict[str, float]] = {}
        self.scores: dict[str, float] = {}

    def __call__(self, state: TrainState, step: int) -> None:
        texts: list[str] = []
        self.scores = {}
        if self._batches is not None and self._num_batches:
            scalars = self._teacher_forced(self._batches(), state, step)
            loss = scalars.get("loss_per_nonpadding_target_token", scalars.get("loss", 0.0))
            self.scores["loss"] = loss
            texts.append(f"validation loss {loss:.4f}")
        if self._evaluator is not None:
            self.latest = self._evaluator.figures(subset.merge(state.params, self._frozen), step)
            self.scores |= self._evaluator.task_metrics | self.latest
            self.latest |= evaluation.own_metrics(self._evaluator.task_metrics)
            texts += [f"{name.replace('_', ' ')} {v:.3f}" for name, v in self.latest.items()]
        if texts:
            self._display.note(f"step {step}: " + "  ".join(texts))

    def is_done(self, step: int) -> bool:
        """Whether an earlier process has made the evaluation of `step`, from which the run goes on.

        What it has recorded of later steps is forgotten. The teacher-forced loss alone leaves no
        record, and counts as done.
        """
        return self._evaluator is None or self._evaluator.rewind(step)

    def metrics_by_task(self) -> dict[str, Mapping[str, Mapping[str, Any]]]:
        """{mode of T5X's actions: {task: {metric: value}}} of the last call."""
        decoded = self._evaluator.latest_metrics if self._evaluator else {}
        return {"TRAIN_EVAL": self._losses, "INFER_EVAL": decoded}

    def _teacher_forced(
        self, batches: Iterator[Mapping[str, Any]], state: TrainState, step: int
    ) -> dict[str, float]:
        sums: dict[str, float] = {}
        for _, batch in zip(range(self._num_batches), batches, strict=False):
            metrics = jax.device_get(self._trainer.eval_step(state.params, self._frozen, batch))
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        scalars = train_metrics.summarize(sums, 1) if sums else {}
        self._losses = {self._evaluator.task if self._evaluator else "validation": scalars}
        if not processes.leads():
            return scalars
        if self._writer is None:
            name = self._evaluator.task[:_MAX_NAME] if self._evaluator else "validation"
            folder = os.path.join(self._model_dir, "training_eval", name)
            self._writer = metrics_writer.MetricsWriter(folder)
        self._writer.write_scalars(step, scalars)
        return scalars
