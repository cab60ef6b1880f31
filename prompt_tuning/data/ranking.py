# SPDX-License-Identifier: Apache-2.0
"""Rank classification as SeqIO tasks do it: an example for each answer, then the likeliest answer.

The preprocessor, postprocessor and metric belong together and are those of the `t5` package. Knows
neither labels nor datasets; `evaluation` has the faster way for tasks with label words.
"""

import functools
import itertools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

Example = Mapping[str, Any]
_NO_EXAMPLE: Example = types.MappingProxyType({})
ExampleFn = Callable[[Example], tf.Tensor]
# (idx [2], is it correct, weight, number of target tokens), as `postprocess` makes it.
Target = tuple[tuple[int, int], bool, float, int]

MODES = ("train", "eval", "fewshot_eval")


def examples_for_answers(
    dataset: tf.data.Dataset,
    inputs_fn: ExampleFn,
    targets_fn: ExampleFn,
    is_correct_fn: ExampleFn,
    mode: str = "eval",
) -> tf.data.Dataset:
    """Text preprocessor: each example once for each of its C possible answers.

    Args:
      dataset: any.
      inputs_fn: example -> strings [C].
      targets_fn: example -> strings [C].
      is_correct_fn: example -> bool [C].
      mode: "train": the correct ones alone; "eval": all, one after another; "fewshot_eval": all as
        one example of arrays [C].

    Returns:
      `inputs`, `targets`, `is_correct`, and `idx` int32 [2]: numbers of the example and the answer.

    Raises:
      ValueError: the mode is unknown.
    """
    if mode not in MODES:
        raise ValueError(f"the mode of rank classification is {mode!r}; it is one of {MODES}.")

    def expand(number: tf.Tensor, example: Example) -> Example:
        is_correct = tf.cast(is_correct_fn(example), tf.bool)
        answer = tf.range(tf.size(is_correct))
        number = tf.fill(tf.shape(answer), tf.cast(number, tf.int32))
        return {
            "idx": tf.stack([number, answer], axis=1),
            "inputs": inputs_fn(example),
            "targets": targets_fn(example),
            "is_correct": is_correct,
        }

    dataset = dataset.enumerate().map(expand)
    if mode != "fewshot_eval":
        dataset = dataset.unbatch()
    if mode == "train":
        dataset = dataset.filter(lambda example: example["is_correct"])
    return dataset


def over_labels(labels: Sequence[str], mode: str = "eval") -> Callable[..., tf.data.Dataset]:
    """`examples_for_answers` where every example has the same answers."""
    labels = list(labels)
    return functools.partial(
        examples_for_answers,
        inputs_fn=lambda example: tf.repeat(example["inputs"], len(labels)),
        targets_fn=lambda example: tf.constant(labels),
        is_correct_fn=lambda example: tf.equal(labels, example["targets"]),
        mode=mode,
    )


def over_entities() -> Callable[..., tf.data.Dataset]:
    """`examples_for_answers` over the entities of `text_formats.record_to_rank`."""
    return functools.partial(
        examples_for_answers,
        inputs_fn=lambda example: tf.repeat(example["inputs"], tf.size(example["entities"])),
        targets_fn=lambda example: example["entities"],
        is_correct_fn=lambda example: tf.reduce_any(
            example["entities"][:, tf.newaxis] == example["answers"][tf.newaxis], axis=1
        ),
    )


@seqio.map_over_dataset
def to_columns(example: Example, keys: Sequence[str] = ("inputs", "targets")) -> Example:
    """Ragged tokens [C, ...] as dense [T, C], which SeqIO can cut to a length along T."""
    dense = {key: tf.transpose(example[key].to_tensor()) for key in keys}
    return {**example, **dense}


def postprocess(score: Any, example: Example = _NO_EXAMPLE, is_target: bool = False) -> Any:
    """The score of an answer itself; for a target, what `rank_classification` needs of it."""
    if not is_target:
        return score
    index = tuple(int(i) for i in example["idx"])
    weight = float(example.get("weight", 1.0))
    return index, bool(example["is_correct"]), weight, len(example["targets"])


def postprocess_answer_columns(
    decoded_model_output: str, postprocess_func: Callable[..., Any], **kwargs
) -> Any:
    """`postprocess_func` on an example of "fewshot_eval" as if it were an ordinary one.

    The target is the correct one of the C answers, and the input the first of the C equal ones.
    """
    example = dict(kwargs.pop("example"))
    correct = _text(example["targets_pretokenized"][int(np.argmax(example["is_correct"]))])
    if kwargs.get("is_target"):
        return postprocess_func(correct, example=example, **kwargs)
    example["targets_pretokenized"] = correct
    example["inputs_pretokenized"] = example["inputs_pretokenized"][0]
    return postprocess_func(decoded_model_output, example=example, **kwargs)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def rank_classification(
    targets: Sequence[Target],
    scores: Sequence[float],
    num_classes: int | None = None,
    normalize_by_target_length: bool = False,
) -> dict[str, float]:
    """Metrics of choosing the likeliest answer, in percent.

    Args:
      targets: of all answers of all examples, in any order.
      scores: log-likelihoods of the answers.
      num_classes: C, the same for all examples; None: it varies.
      normalize_by_target_length: divide each score by its number of tokens first.

    Returns:
      "accuracy", and if each example has one correct answer out of a fixed C: "f1", "auc-roc" and
      "auc-pr" of answer 1 for C = 2, "mean_{C}class_f1" for more. The areas are left out when an
      answer is never the correct one.

    Raises:
      ValueError: there are not as many scores as targets, or not C for each example.
    """
    if len(targets) != len(scores):
        raise ValueError(f"there are {len(scores)} scores for {len(targets)} targets.")
    by_index = sorted(zip(targets, scores, strict=True), key=lambda pair: pair[0][0])
    groups = []
    for _, group in itertools.groupby(by_index, key=lambda pair: pair[0][0][0]):
        answers, of_answers = zip(*group, strict=True)
        values = np.asarray(of_answers, np.float64)
        if normalize_by_target_length:
            values = values / [tokens for *_, tokens in answers]
        groups.append(([answer[1] for answer in answers], values, answers[0][2]))
    weights = np.array([weight for *_, weight in groups])
    chosen = [int(np.argmax(values)) for _, values, _ in groups]
    hits = [correct[choice] for (correct, *_), choice in zip(groups, chosen, strict=True)]
    result = {"accuracy": 100.0 * float(np.average(hits, weights=weights))}
    if num_classes is None:
        return result
    if any(len(correct) != num_classes for correct, *_ in groups):
        raise ValueError(f"an example does not have {num_classes} answers, as its task says.")
    if all(sum(correct) == 1 for correct, *_ in groups):
        labels = np.array([int(np.argmax(correct)) for correct, *_ in groups])
        result |= _single_label_metrics(
            labels, np.array(chosen), np.stack([values for _, values, _ in groups]), weights
        )
    return result


def _single_label_metrics(
    labels: np.ndarray, chosen: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    """Metrics beyond accuracy of labels [n] and choices [n] by scores [n, C]."""
    classes = scores.shape[1]
    common = {"sample_weight": weights, "zero_division": 0.0}
    if classes > 2:
        mean = sklearn_metrics.f1_score(
            labels, chosen, labels=range(classes), average="macro", **common
        )
        return {f"mean_{classes}class_f1": 100.0 * float(mean)}
    result = {"f1": 100.0 * float(sklearn_metrics.f1_score(labels, chosen, **common))}
    if len(set(labels.tolist())) == 2:
        margins = scores[:, 1] - scores[:, 0]
        areas = {
            "auc-roc": sklearn_metrics.roc_auc_score,
            "auc-pr": sklearn_metrics.average_precision_score,
        }
        for name, area in areas.items():
            result[name] = 100.0 * float(area(labels, margins, sample_weight=weights))
    return result


def prefix_metric_names(
    targets: Sequence[Target],
    scores: Sequence[float],
    metric_prefix: str,
    metric_fn: Callable[..., Mapping[str, float]],
) -> dict[str, float]:
    """`metric_fn`'s metrics with `{metric_prefix}_` in front of their names."""
    return {f"{metric_prefix}_{k}": v for k, v in metric_fn(targets, scores).items()}
