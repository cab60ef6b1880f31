# SPDX-License-Identifier: Apache-2.0
"""Metrics of generated answers and summaries, and of answers that belong together.

SQuAD's exact match and F1 by its official definition, ReCoRD's and MultiRC's groups, ROUGE. Names,
arguments and percents are those of the `t5` package. Knows no dataset and no model.
"""

import collections
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from prompt_tuning.data import metrics, postprocessors

Metrics = metrics.Metrics
MetricFn = Callable[[Sequence[Any], Sequence[Any]], Metrics]

ROUGE_KEYS = ("rouge1", "rouge2", "rougeLsum")


def squad(targets: Sequence[Sequence[str]], predictions: Sequence[str]) -> Metrics:
    """{"em", "f1"}: means over the questions of the best match with one of the answers.

    Args:
      targets: the answers of each question.
      predictions: one text for each.
    """
    exact, f1 = [], []
    for answers, prediction in zip(targets, predictions, strict=True):
        prediction = postprocessors.normalize_squad(prediction)
        answers = [postprocessors.normalize_squad(answer) for answer in answers]
        exact.append(prediction in answers)
        f1.append(max((_word_f1(answer, prediction) for answer in answers), default=0.0))
    return {"em": 100.0 * float(np.mean(exact)), "f1": 100.0 * float(np.mean(f1))}


def _word_f1(target: str, prediction: str) -> float:
    target_words, words = target.split(), prediction.split()
    shared = (collections.Counter(target_words) & collections.Counter(words)).total()
    return 2 * shared / (len(target_words) + len(words)) if shared else 0.0


def record_squad(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> Metrics:
    """`squad` of ReCoRD, whose queries occur once for each answer: the first of each counts."""
    first: dict[Hashable, tuple[Any, Any]] = {}
    for target, prediction in zip(targets, predictions, strict=True):
        first.setdefault(target["group"], (target["value"], prediction["value"]))
    return squad(*zip(*first.values(), strict=True))


def multirc_f1_over_all_answers(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> Metrics:
    """{"f1": of all answers of all questions}: MultiRC's F1a."""
    return metrics.f1_score_with_invalid(
        [target["value"] for target in targets], [given["value"] for given in predictions]
    )


def multirc_exact_match(
    targets: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]
) -> Metrics:
    """{"exact_match": percent of questions with every answer judged right}."""
    right: dict[Hashable, bool] = {}
    for target, prediction in zip(targets, predictions, strict=True):
        hit = target["value"] == prediction["value"]
        right[target["group"]] = right.get(target["group"], True) and hit
    return {"exact_match": 100.0 * float(np.mean(list(right.values())))}


def rouge(
    targets: Sequence[str],
    predictions: Sequence[str],
    score_keys: Sequence[str] = ROUGE_KEYS,
) -> Metrics:
    """{key: F-measure} of `score_keys`, the middle of the bootstrap.

    Sentences are taken to end in " . ", where ROUGE-Lsum wants lines. The draws are the same each
    time, so that equal predictions have an equal value, and NumPy's own stream is left as it is.

    Raises:
      ImportError: rouge-score is not in the environment.
    """
    try:
        from rouge_score import rouge_scorer, scoring
    except ImportError as error:
        raise ImportError(
            "summaries are measured by the package rouge-score, which this environment lacks; "
            "install rouge-score, or evaluate a task with another metric (--task)."
        ) from error
    scorer = rouge_scorer.RougeScorer(list(score_keys))
    aggregator = scoring.BootstrapAggregator()
    for target, prediction in zip(targets, predictions, strict=True):
        lines = (text.replace(" . ", " .\n") for text in (target, prediction))
        aggregator.add_scores(scorer.score(*lines))
    state = np.random.get_state()
    np.random.seed(0)
    try:
        result = aggregator.aggregate()
    finally:
        np.random.set_state(state)
    return {key: 100.0 * float(result[key].mid.fmeasure) for key in score_keys}
