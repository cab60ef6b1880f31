# SPDX-License-Identifier: Apache-2.0
"""Metrics of a task, as SeqIO metric functions (`targets, predictions` by name) and on scores.

Accuracies are in percent, as T5 reports them. Names and arguments are those of T5 and
prompt-tuning where they have the metric. Knows no model.
"""

import collections
import itertools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats
import seqio
from sklearn import metrics as sklearn_metrics

from prompt_tuning.data import postprocessors

Metrics = dict[str, Any]


def accuracy(targets: Sequence[Any], predictions: Sequence[Any]) -> Metrics:
    """{"accuracy": percent of predictions that equal their target}."""
    hits = [target == prediction for target, prediction in zip(targets, predictions, strict=True)]
    return {"accuracy": 100.0 * float(np.mean(hits))}


def matthews_corrcoef(targets: Sequence[int], predictions: Sequence[int]) -> Metrics:
    """{"matthews_corrcoef": Matthews' correlation times 100}; an unknown label is a class more."""
    value = sklearn_metrics.matthews_corrcoef(targets, predictions)
    return {"matthews_corrcoef": 100.0 * float(value)}


def f1_score_with_invalid(targets: Sequence[int], predictions: Sequence[int]) -> Metrics:
    """{"f1": percent, of class 1 of two}; a prediction that is neither counts as the wrong one."""
    labels, found = np.asarray(targets), np.asarray(predictions)
    found = np.where(np.isin(found, (0, 1)), found, 1 - labels)
    return {"f1": 100.0 * float(sklearn_metrics.f1_score(labels, found, zero_division=0.0))}


def mean_3class_f1(targets: Sequence[int], predictions: Sequence[int]) -> Metrics:
    """{"mean_3class_f1": mean of the F1 of the classes 0, 1 and 2, in percent}."""
    value = sklearn_metrics.f1_score(
        targets, predictions, labels=range(3), average="macro", zero_division=0.0
    )
    return {"mean_3class_f1": 100.0 * float(value)}


def pearson_corrcoef(targets: Sequence[float], predictions: Sequence[float]) -> Metrics:
    """{"pearson_corrcoef": correlation times 100}; NaN where one side is constant."""
    return {"pearson_corrcoef": 100.0 * float(scipy.stats.pearsonr(targets, predictions)[0])}


def spearman_corrcoef(targets: Sequence[float], predictions: Sequence[float]) -> Metrics:
    """{"spearman_corrcoef": correlation of the ranks times 100}; NaN as `pearson_corrcoef`."""
    return {"spearman_corrcoef": 100.0 * float(scipy.stats.spearmanr(targets, predictions)[0])}


def rank_classification(label_ids: np.ndarray, scores: np.ndarray) -> Metrics:
    """Metrics of choosing the label with the best score.

    Args:
      label_ids: int [n], -1 where the target is none of the labels.
      scores: float [n, C], log probabilities of the labels.

    Returns:
      "rank_accuracy" in percent. With two labels also "rank_auc" in 0..1: how often a row of
      label 1 has a larger margin for label 1 than a row of label 0; unlike the accuracy it does
      not depend on which label the model prefers. It is left out when a label has no row.
    """
    result = {"rank_accuracy": 100.0 * float(np.mean(scores.argmax(axis=1) == label_ids))}
    if scores.shape[1] == 2:
        margins = scores[:, 1] - scores[:, 0]
        zeros, ones = np.sort(margins[label_ids == 0]), margins[label_ids == 1]
        if zeros.size and ones.size:
            below = np.searchsorted(zeros, ones, "left") + np.searchsorted(zeros, ones, "right")
            result["rank_auc"] = float(below.mean() / (2 * zeros.size))
    return result


def metric_with_examples(
    metric_fn: Callable[..., Mapping[str, Any]],
    targets: Sequence[Any],
    predictions: Sequence[Mapping[str, Any]],
    prediction_field: str = "prediction",
) -> Mapping[str, Any]:
    """`metric_fn` over the dicts that `postprocessors.postprocess_with_examples` makes."""
    return metric_fn(targets, [prediction[prediction_field] for prediction in predictions])


def safe_sample(num_examples: int, population: Sequence[Any], seed: int | None = None) -> list[int]:
    """Indices of `num_examples` distinct members; all of them for -1 or when there are fewer."""
    if num_examples == -1 or num_examples >= len(population):
        return list(range(len(population)))
    return random.Random(seed).sample(range(len(population)), num_examples)


def format_classification(
    indices: Sequence[int],
    examples: Sequence[Mapping[str, Any]],
    example_field: str = "inputs_pretokenized",
    target_field: str = "targets_pretokenized",
    prediction_field: str = "prediction_pretokenized",
) -> str:
    """Examples as text, each with its input, target and prediction, and a blank line between."""
    fields = {"example": example_field, "target": target_field, "prediction": prediction_field}
    return "\n\n".join(
        "\n".join(f"{label}: {_text(examples[i][field])}" for label, field in fields.items())
        for i in indices
    )


def format_qa(
    indices: Sequence[int],
    examples: Sequence[Mapping[str, Any]],
    context_field: str | None = "context",
    question_field: str = "question",
    answers_field: str = "answers",
    prediction_field: str = "prediction_pretokenized",
) -> str:
    """Examples as text, each with its context (unless None), question, answers and prediction."""

    def block(example: Mapping[str, Any]) -> str:
        answers = "; ".join(sorted({_text(answer) for answer in example[answers_field]}))
        lines = [] if context_field is None else [f"context: {_text(example[context_field])}"]
        lines += [f"question: {_text(example[question_field])}", f"answers: {answers}"]
        return "\n".join([*lines, f"prediction: {_text(example[prediction_field])}"])

    return "\n\n".join(block(examples[i]) for i in indices)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def label_set_stats(
    targets: Sequence[Any],
    predictions: Sequence[Mapping[str, Any]],
    task_name: str,
    target_field: str = "targets_pretokenized",
    prediction_field: str = "prediction_pretokenized",
    display_sets: bool = False,
    normalize: bool = True,
) -> Metrics:
    """Which label texts occur, among the targets and among the predictions, and how often.

    Fewer predicted than target labels says that the model never gives some label; a prediction
    that is no target says that it invents one.

    Args:
      targets: unused; the texts are in `predictions`.
      predictions: dicts of `postprocessors.postprocess_with_examples`.
      task_name: begins the names of the metrics.
      target_field: where the text of the target is.
      prediction_field: where the text of the prediction is.
      display_sets: show the labels and not only how many there are.
      normalize: shares of all examples instead of counts.

    Returns:
      "{task_name} label stats" and "{task_name} label distributions" (JSON), as SeqIO Text.
    """
    del targets
    counts = {
        "target": collections.Counter(_text(p[target_field]) for p in predictions),
        "prediction": collections.Counter(_text(p[prediction_field]) for p in predictions),
    }
    target, given = (set(count) for count in counts.values())
    sets = {
        "target label set": target,
        "prediction label set": given,
        "target \u2229 prediction": target & given,
        "target - prediction": target - given,
        "prediction - target": given - target,
    }
    lines = [[f"{name} cardinality: {len(labels)}"] for name, labels in sets.items()]
    if display_sets:
        shown = [f"{name}: {sorted(labels)}" for name, labels in sets.items()]
        lines = [[*line, text] for line, text in zip(lines, shown, strict=True)]
    total = len(predictions) if normalize else 1
    distributions = {
        f"{name} label distribution": {
            label: number / total if normalize else number for label, number in count.items()
        }
        for name, count in counts.items()
    }
    stats = "\n\n".join(itertools.chain.from_iterable(lines))
    shares = f"```\n{json.dumps(distributions, indent=2)}\n```"
    return {
        f"{task_name} label stats": seqio.metrics.Text(stats),
        f"{task_name} label distributions": seqio.metrics.Text(shares),
    }


def text_examples(
    targets: Sequence[Any],
    predictions: Sequence[Mapping[str, Any]],
    task_name: str,
    num_examples: int = 8,
    seed: int | None = None,
    find_negative: bool = True,
    format_fn: Callable[..., str] = format_classification,
    prediction_field: str = "prediction",
    **format_fields: str,
) -> Metrics:
    """Some predictions to read, with their examples.

    Args:
      targets: n postprocessed targets.
      predictions: n dicts of `postprocessors.postprocess_with_examples`.
      task_name: begins the names of the metrics.
      num_examples: how many to show; -1 shows all.
      seed: of the choice.
      find_negative: show as many wrong predictions beside; where the target is a list, one that is
        one of its answers as SQuAD compares them is right (upstream calls all of those wrong).
      format_fn: (indices, predictions, **format_fields) -> text.
      prediction_field: where the postprocessed prediction is.
      **format_fields: names of fields for `format_fn`.

    Returns:
      "{task_name} samples" and, if asked, "{task_name} negative samples", as SeqIO Text.
    """

    def shown(population: Sequence[int]) -> seqio.metrics.Text:
        chosen = safe_sample(num_examples, population, seed)
        indices = [population[i] for i in chosen]
        return seqio.metrics.Text(format_fn(indices, predictions, **format_fields))

    result = {f"{task_name} samples": shown(range(len(predictions)))}
    if find_negative:
        pairs = enumerate(zip(targets, predictions, strict=True))
        wrong = [i for i, (target, given) in pairs if _is_wrong(target, given[prediction_field])]
        result[f"{task_name} negative samples"] = shown(wrong)
    return result


def _is_wrong(target: Any, prediction: Any) -> bool:
    """Whether a prediction is not what is asked for, or, of several answers, as SQuAD none of them.

    The dicts of MultiRC and ReCoRD hold it under "value".
    """
    if isinstance(target, Mapping) and isinstance(prediction, Mapping):
        target, prediction = target["value"], prediction["value"]
    if not isinstance(target, list):
        return prediction != target
    answers = map(postprocessors.normalize_squad, target)
    return postprocessors.normalize_squad(prediction) not in answers
