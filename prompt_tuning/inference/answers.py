# SPDX-License-Identifier: Apache-2.0
"""Rows in, records out: which of a predictor's ways to answer, with which prompts.

Knows no file and no flag; what it is given is checked once, and then streamed.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prompt_tuning.inference import ensemble, predictor, requests, writers

PREDICT, SCORE, PREDICT_WITH_AUX = MODES = ("predict", "score", "predict_with_aux")


@dataclasses.dataclass(frozen=True)
class InputRow:
    """One row of the input.

    Attributes:
      fields: What its record has as `inputs`.
      request: What is asked, or why the row cannot be.
    """

    fields: Mapping[str, Any]
    request: requests.Request | requests.RowError


@dataclasses.dataclass(frozen=True)
class Manner:
    """How rows are answered.

    Attributes:
      mode: T5X's: "predict" writes answers, "score" the log-likelihood of the rows' own targets,
        "predict_with_aux" answers with T5X's `aux`.
      labels: Answers are among these; empty decodes freely.
      per_token: Labels are compared by their log-likelihood for each token.
      only_best: Search the tree of the labels for the likeliest, instead of scoring each.
      ensemble: Names of prompts that answer every row together; empty is the row's own.

    Raises:
      ValueError: The mode is unknown, or the settings contradict each other.
    """

    mode: str = PREDICT
    labels: Sequence[str] = ()
    per_token: bool = False
    only_best: bool = False
    ensemble: Sequence[str] = ()

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"infer.mode is {self.mode!r}; accepted are {', '.join(MODES)}.")
        if self.ensemble and (self.mode == SCORE or self.only_best):
            raise ValueError(
                "an ensemble answers freely or ranks labels; leave out --ensemble, or "
                f"{'mode score' if self.mode == SCORE else '--label_file'}."
            )
        if self.per_token and self.only_best:
            raise ValueError(
                "the search for the likeliest label compares whole labels; set "
                "--nolabel_scores_per_token (LABEL_SCORES_PER_TOKEN), which a run may remember, or "
                "give --label_words in place of --label_file."
            )


def records(
    model: predictor.Predictor, rows: Iterable[InputRow], manner: Manner, first: int = 0
) -> Iterator[writers.Record]:
    """One record for each row, in order; of a row that has no answer, the record of its error.

    Args:
      model: Reports bad rows.
      rows: May be endless.
      manner: How.
      first: Place of the first row in a longer stream, of which random numbers depend.
    """
    waiting: collections.deque[Mapping[str, Any]] = collections.deque()

    def asked() -> Iterator[requests.Request | requests.RowError]:
        for row in rows:
            waiting.append(row.fields)
            yield row.request

    answers, record = _stream(model, manner, first)
    for answer in answers(asked()):
        fields = waiting.popleft()
        if isinstance(answer, requests.RowError):
            yield writers.error_record(fields, answer)
        else:
            yield record(fields, answer)


def _stream(
    model: predictor.Predictor, manner: Manner, first: int
) -> tuple[Callable[[Iterable], Iterator], Callable[[Mapping, Any], writers.Record]]:
    """What answers requests, and what makes a record of fields and an answer."""
    labels, prompts, per_token = manner.labels, manner.ensemble, manner.per_token
    if manner.mode == SCORE:
        return model.score_targets_stream, writers.score_record
    if manner.only_best:
        return lambda rows: model.choose_label_stream(rows, labels), writers.prediction_record
    if labels:

        def ranked(fields, scores):
            return writers.label_record(fields, labels, scores)

        if prompts:
            return (
                lambda rows: ensemble.score_labels_stream(model, rows, labels, prompts, per_token),
                ranked,
            )
        return lambda rows: model.score_labels_stream(rows, labels, per_token), ranked
    decoded: Callable[[Mapping[str, Any], Any], writers.Record] = writers.prediction_record
    if manner.mode == PREDICT_WITH_AUX:
        decoded = _with_aux
    if prompts:
        return lambda rows: ensemble.predict_stream(model, rows, prompts, first), decoded
    return lambda rows: model.predict_stream(rows, first), decoded


def _with_aux(fields: Mapping[str, Any], prediction: requests.Prediction) -> writers.Record:
    record = writers.prediction_record(fields, prediction)
    return {**record, "aux": {"scores": record["score"]}}
