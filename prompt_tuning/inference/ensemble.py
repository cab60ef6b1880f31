# SPDX-License-Identifier: Apache-2.0
"""Several prompts of one task as an ensemble, in one pass of the frozen model (Lester et al. 2021,
section 6): each row becomes one row for each prompt, in the same batch, and the answers are joined.

Shapes: `N` prompts, `C` candidate labels.
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from prompt_tuning.inference import predictor, requests


def predict_stream(
    model: predictor.Predictor,
    rows: Iterable[predictor.Row],
    prompts: Sequence[str],
    first: int = 0,
) -> Iterator[requests.Prediction | requests.RowError]:
    """Decodes with every prompt; the answer of most prompts wins, see `majority`.

    Args:
      model: Has a bank with these prompts.
      rows: Texts or requests; prompts that requests name themselves are not looked at.
      prompts: `N` names.
      first: Place of the first row in a longer stream, of which random numbers depend.

    Raises:
      ValueError: No prompts are named, or one twice.
    """
    answers = model.predict_stream(_copies(rows, _checked(prompts)), first * len(prompts))
    return (_joined(group, majority) for group in _groups(answers, len(prompts)))


def score_labels_stream(
    model: predictor.Predictor,
    rows: Iterable[predictor.Row],
    labels: Sequence[str],
    prompts: Sequence[str],
    per_token: bool = False,
) -> Iterator[np.ndarray | requests.RowError]:
    """The mean over the prompts of each label's log-probability, float32 `[C]` for each row.

    Arguments and errors are those of `predict_stream` and `Predictor.score_labels`.
    """
    answers = model.score_labels_stream(_copies(rows, _checked(prompts)), labels, per_token)
    return (
        _joined(group, lambda scores: np.mean(scores, axis=0, dtype=np.float32))
        for group in _groups(answers, len(prompts))
    )


def majority(predictions: Sequence[requests.Prediction]) -> requests.Prediction:
    """The text that most predictions have; among equals the one with the best mean score.

    Returns:
      That text, with the mean score of those who chose it.
    """
    scores = collections.defaultdict(list)
    for prediction in predictions:
        scores[prediction.text].append(prediction.score)
    text, chosen = max(scores.items(), key=lambda item: (len(item[1]), float(np.mean(item[1]))))
    return requests.Prediction(text, float(np.mean(chosen)))


def _checked(prompts: Sequence[str]) -> Sequence[str]:
    if not prompts or len(set(prompts)) != len(prompts):
        raise ValueError(
            f"the prompts of the ensemble are {list(prompts)}; name at least one, and each once"
        )
    return prompts


def _copies(
    rows: Iterable[predictor.Row], prompts: Sequence[str]
) -> Iterator[requests.Request | requests.RowError]:
    for row in rows:
        request = requests.as_request(row)
        if isinstance(request, requests.RowError):
            yield from [request] * len(prompts)
        else:
            yield from (dataclasses.replace(request, prompt=name) for name in prompts)


def _groups(answers: Iterator, size: int) -> Iterator[list]:
    while group := list(itertools.islice(answers, size)):
        yield group


def _joined(group, join):
    """The joined answers, or the first error: an ensemble that lacks members is another one."""
    errors = (answer for answer in group if isinstance(answer, requests.RowError))
    return next(errors, None) or join(group)
