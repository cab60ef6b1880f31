# SPDX-License-Identifier: Apache-2.0
"""Which metrics a task has, found by giving its metric functions the task's own targets.

A metric function does not say what it returns, and a run that is to look for the best value of a
metric must not find out at its first evaluation that there is none of that name. Knows no model.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio

# A metric of texts may take long; its names do not depend on how many there are.
_EXAMPLES = 64


def perfect_metrics(
    task: seqio.Task, examples: Iterable[Mapping[str, Any]]
) -> dict[str, float] | None:
    """{metric: value} as if each prediction were the target; values of scores mean nothing.

    Args:
      task: whose metrics are tried.
      examples: of one split, as SeqIO gives them; metrics of scores get all of them, since the
        answers that belong to one question must not be parted.

    Returns:
      The metrics that are numbers; None where a function cannot be tried like this.
    """
    examples = list(examples)
    found: dict[str, float] = {}
    try:
        for metric in task.predict_metric_fns:
            found |= _numbers(metric, *_answered(task, examples[:_EXAMPLES]))
        for metric in task.score_metric_fns:
            targets, _ = _answered(task, examples)
            found |= _numbers(metric, targets, np.zeros(len(targets)))
    except Exception:  # Somebody else's code, which a model's predictions may suit all the same.
        return None
    return None if task.predict_with_aux_metric_fns else found


def _answered(
    task: seqio.Task, examples: Sequence[Mapping[str, Any]]
) -> tuple[list[Any], list[Any]]:
    """The targets of the examples, and predictions that give their texts; both postprocessed."""
    texts = [_target_text(task, example) for example in examples]
    targets, predictions = (
        [
            task.postprocess_fn(text, example=example, is_target=is_target)
            for text, example in zip(texts, examples, strict=True)
        ]
        for is_target in (True, False)
    )
    return targets, predictions


def _target_text(task: seqio.Task, example: Mapping[str, Any]) -> str:
    text = example.get("targets_pretokenized")
    if isinstance(text, bytes):
        return text.decode("utf-8")
    return task.output_features["targets"].vocabulary.decode([int(i) for i in example["targets"]])


def _numbers(metric: Callable[..., Mapping[str, Any]], *arguments: Any) -> dict[str, float]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # Such as of a correlation of constants.
        values = metric(*arguments)
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float | np.number)
    }
