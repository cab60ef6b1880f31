# SPDX-License-Identifier: Apache-2.0
"""T5X's actions: what may end a training run, judged by the metrics of an evaluation.

They see metrics only; whoever evaluates calls them, and the loop ends the run.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from absl import logging

# {task: {metric: value}}
MetricsByTask = Mapping[str, Mapping[str, Any]]

# When actions run: after a teacher-forced evaluation, and after one by decoding. T5X's third mode,
# TRAIN, is the training loss, of which one that is not finite ends every run.
MODES = ("TRAIN_EVAL", "INFER_EVAL")


class Action(Protocol):
    """What `train.actions` holds for each mode."""

    def run(self, train_state: Any, metrics_by_task: MetricsByTask) -> bool:
        """Whether the training is to end."""


def check(actions: Mapping[str, Any] | None) -> None:
    """Raises ValueError for a mode in which no actions run."""
    for mode in actions or ():
        if mode not in MODES:
            raise ValueError(
                f"train.actions has {mode!r}; accepted are {', '.join(MODES)}. A training loss "
                "that is not finite ends a run without an action."
            )


def _value(metrics_by_task: MetricsByTask, task: str, metric: str) -> float | None:
    """The metric, or None with a warning where it was not computed."""
    metrics = metrics_by_task.get(task, {})
    if metric in metrics:
        return float(metrics[metric])
    known = sorted(f"{name}/{key}" for name, values in metrics_by_task.items() for key in values)
    logging.warning(
        "an action watches %s of %s, which was not computed; there are %s.", metric, task, known
    )
    return None


class EarlyStoppingAction:
    """Ends the training when a metric has not improved for some evaluations."""

    def __init__(
        self,
        metric: tuple[str, str],
        mode: str,
        patience: int = 3,
        atol: float = 0.0,
        rtol: float = 0.0,
    ):
        """Sets what is watched; T5X's arguments.

        Args:
          metric: (task, name of the metric).
          mode: "min" where less is better, "max" where more is.
          patience: so many values in a row, none better than the one before it, end the run.
          atol: a change counts as an improvement above `atol + rtol * |value before|`.
          rtol: see `atol`.

        Raises:
          ValueError: an argument is not one of these.
        """
        if isinstance(metric, str) or len(metric) != 2:
            raise ValueError(
                f"EarlyStoppingAction.metric is {metric!r}; it must be a pair of a task and the "
                "name of its metric."
            )
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStoppingAction.mode is {mode!r}; accepted are 'min' and 'max'.")
        for name, value in (("patience", patience - 1), ("atol", atol), ("rtol", rtol)):
            if value < 0:
                least = 1 if name == "patience" else 0
                raise ValueError(
                    f"EarlyStoppingAction.{name} is {value + least}; it must be at least {least}."
                )
        self._task, self._metric = metric
        self._sign = 1.0 if mode == "min" else -1.0
        self._patience, self._atol, self._rtol = patience, atol, rtol
        self._history: list[float] = []

    def run(self, train_state: Any, metrics_by_task: MetricsByTask) -> bool:
        """Adds the metric's value; whether the last `patience` values brought no improvement."""
        del train_state
        value = _value(metrics_by_task, self._task, self._metric)
        if value is None:
            return False
        self._history = [*self._history, value][-self._patience :]
        if len(self._history) < self._patience:
            return False
        pairs = zip(self._history[1:], self._history, strict=False)
        return not any(self._improves(value, before) for value, before in pairs)

    def _improves(self, value: float, before: float) -> bool:
        least = self._atol + self._rtol * abs(before)
        return self._sign * (before - value) > least


class TerminateOnNanAction:
    """Ends the training when a metric is NaN or infinite."""

    def __init__(self, task: str, metric: str = "loss"):
        """Sets what is watched."""
        self._task, self._metric = task, metric

    def run(self, train_state: Any, metrics_by_task: MetricsByTask) -> bool:
        """Whether the metric is not finite."""
        del train_state
        value = _value(metrics_by_task, self._task, self._metric)
        return value is not None and not math.isfinite(value)
