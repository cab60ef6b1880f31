# SPDX-License-Identifier: Apache-2.0
"""The best prompt of a run, by a metric of its evaluations, and when to stop looking for a better.

Everything follows from the list of (step, value) in `MODEL_DIR/best_prompt.json`, so a run that
goes on after a kill decides what the undisturbed one would. Knows no model.
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from prompt_tuning.checkpoints import best_step
from prompt_tuning.config import spelling
from prompt_tuning.partitioning import processes

# Figures of which less is better. Every other metric is one of which more is.
LOSS = "loss"
_LESS_IS_BETTER = (LOSS, "perplexity")


class BestPrompt:
    """Remembers what was measured.

    Attributes:
      metric: name of the figure.
      evaluations: [(step, value)] in the order of the steps.
    """

    def __init__(self, model_dir: str, metric: str | None, patience: int | None = None):
        """Reads what an earlier process of the run has measured.

        Args:
          model_dir: holds the record.
          metric: "accuracy", "auc", "exact_match", "loss" or a metric of the task.
          patience: after how many evaluations without a better value the training ends; None:
            never.

        Raises:
          ValueError: the record is damaged.
        """
        self.metric, self._patience, self._model_dir = metric, patience, model_dir
        record = best_step.read(model_dir) if metric else None
        same = record is not None and record.get("metric") == metric
        self.evaluations: list[tuple[int, float]] = []
        if record is not None and same:
            self.evaluations = [(int(step), float(v)) for step, v in record["evaluations"]]

    def __bool__(self) -> bool:
        """Whether a best prompt is looked for at all."""
        return self.metric is not None

    def check(self, names: Collection[str]) -> None:
        """Raises ValueError where the metric is none of `names`, those of every evaluation."""
        if self.metric is not None and self.metric not in names:
            raise ValueError(
                f"the metric {self.metric!r} is not one of this run's, which are "
                f"{', '.join(sorted(names)) or 'none'}{spelling.nearest(self.metric, names)}: "
                "--best_metric (BEST_METRIC)."
            )

    def go_on_from(self, step: int) -> None:
        """Forgets what was measured behind `step`, from which the run goes on."""
        self.evaluations = [entry for entry in self.evaluations if entry[0] <= step]

    def has(self, step: int) -> bool:
        """Whether `step` was measured."""
        return any(step == entry[0] for entry in self.evaluations)

    @property
    def best(self) -> tuple[int, float] | None:
        """(step, value) of the best evaluation, the first of equal ones; None before any."""
        sign = 1 if self.metric in _LESS_IS_BETTER else -1
        finite = [entry for entry in self.evaluations if not math.isnan(entry[1])]
        return min(finite, key=lambda entry: sign * entry[1], default=None)

    @property
    def best_step(self) -> int | None:
        """The step of `best`."""
        return self.best[0] if self.best else None

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` evaluations brought nothing better than those before."""
        if self._patience is None or self.best is None:
            return False
        return sum(step > self.best[0] for step, _ in self.evaluations) >= self._patience

    def add(self, step: int, figures: Mapping[str, Any], save: Callable[[], Any]) -> bool:
        """Adds an evaluation, and keeps the checkpoint of a new best one.

        Args:
          step: not measured yet.
          figures: of the evaluation.
          save: writes the checkpoint of the step unless it is there; called for a new best.

        Returns:
          Whether it is the best so far.

        Raises:
          ValueError: the figures lack the metric; names those that there are.
        """
        self.check(figures)
        self.evaluations.append((step, float(figures[str(self.metric)])))
        best = self.best
        if best is None:
            return False
        if best[0] == step:
            save()
        record = {"metric": self.metric, "evaluations": self.evaluations}
        if processes.leads():
            best_step.write(self._model_dir, record | {"best_step": best[0], "best_value": best[1]})
        return best[0] == step

    def figures(self) -> dict[str, Any]:
        """What `summary.json` says of it; {} before any evaluation."""
        if not self or self.best is None:
            return {}
        step, value = self.best
        return {
            "best_metric": self.metric,
            "best_step": step,
            "best_value": value,
            "stopped_early": self.exhausted,
        }


class SelectingEvaluation:
    """What the training loop calls as `(state, step)`: an evaluation, and then the selection."""

    def __init__(
        self,
        evaluation: Any,
        best: BestPrompt,
        save: Callable[[Any], Any],
        note: Callable[[str], None],
    ):
        """Calls nothing yet.

        Args:
          evaluation: `periodic_evaluation.PeriodicEvaluation`.
          best: remembers; when it looks for nothing, evaluations alone are made.
          save: writes the checkpoint of a state unless it is there.
          note: told of every new best.
        """
        self._evaluation, self._best, self._save, self._note = evaluation, best, save, note

    def __call__(self, state: Any, step: int) -> bool:
        """Evaluates; returns whether the training ends."""
        self._evaluation(state, step)
        if not self._best:
            return False
        if self._best.add(step, self._evaluation.scores, lambda: self._save(state)):
            self._note(f"best {self._best.metric} so far")
        return self._best.exhausted

    def is_done(self, step: int) -> bool:
        """Whether the evaluation of `step`, from which a run goes on, is recorded."""
        if self._best and not self._best.has(step):
            self._evaluation.is_done(step - 1)  # Forgets the half of it that may be there.
            return False
        return self._evaluation.is_done(step)
