# SPDX-License-Identifier: Apache-2.0
"""Metrics of classification by rank: the predicted label is the one with the highest score.

Knows scores and the right labels; not where either comes from.

Shapes: `n` examples, `C` candidate labels.
"""

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class RankMetrics:
    """How well a ranking of labels agrees with the right ones.

    Attributes:
      num_examples: `n`.
      accuracy: Share of examples whose right label ranks first, in `[0, 1]`; among equal scores
        the first label wins.
      auc: Area under the ROC curve of the second label's score over the first's, in `[0, 1]`: what
        the scores know of the label whatever the model's prior for one of the two. None unless
        there are two labels and examples of both.
      confusion: int `[C, C]`, examples by right label (row) and predicted label (column).
    """

    num_examples: int
    accuracy: float
    auc: float | None
    confusion: np.ndarray


def label_indices(texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Positions in `labels` of the right labels of `n` examples, int `[n]`.

    Raises:
      ValueError: A text is none of the labels.
    """
    index = {label: i for i, label in enumerate(labels)}
    for position, text in enumerate(texts):
        if text not in index:
            nearest = difflib.get_close_matches(text, labels, n=3, cutoff=0.0)
            raise ValueError(
                f"example {position} has the label {text!r}, which is not among the candidates; "
                f"the nearest are {nearest}; add it to CLASS_LABELS or correct the data"
            )
    return np.array([index[text] for text in texts], np.int64)


def rank_metrics(scores: np.ndarray, targets: np.ndarray) -> RankMetrics:
    """Compares scores with the right labels.

    Args:
      scores: `[n, C]`, higher is better; as `Predictor.score_labels` gives them.
      targets: int `[n]`, the index of each example's right label; see `label_indices`.

    Raises:
      ValueError: There are no examples, shapes do not agree, a score is not finite or a
        target is no index of a label.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets)
    _check(scores, targets)
    # Importing it takes longer than starting a prediction, which needs no metric.
    from sklearn import metrics

    predicted = np.argmax(scores, axis=1)
    auc = None
    if scores.shape[1] == 2 and len(np.unique(targets)) == 2:
        auc = float(metrics.roc_auc_score(targets, scores[:, 1] - scores[:, 0]))
    return RankMetrics(
        num_examples=len(targets),
        accuracy=float(metrics.accuracy_score(targets, predicted)),
        auc=auc,
        confusion=metrics.confusion_matrix(targets, predicted, labels=range(scores.shape[1])),
    )


def _check(scores: np.ndarray, targets: np.ndarray) -> None:
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or not targets.size:
        raise ValueError(
            f"scores have shape {scores.shape} and targets {targets.shape}; "
            "accepted are (n, C) and (n,) with n at least 1"
        )
    rows = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if rows.size:
        raise ValueError(
            f"the scores of {rows.size} examples are not finite; those of example {rows[0]} are "
            f"{scores[rows[0]].tolist()}"
        )
    if targets.min() < 0 or targets.max() >= scores.shape[1]:
        raise ValueError(
            f"targets are from {targets.min()} to {targets.max()}; "
            f"with {scores.shape[1]} labels they must be from 0 to {scores.shape[1] - 1}"
        )
