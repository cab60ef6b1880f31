# SPDX-License-Identifier: Apache-2.0
"""Predictions as JSON lines, in the layout of T5X's `infer`.

    {"inputs": {"inputs_pretokenized": "..."}, "prediction": "...", "score": -0.5}
    {"inputs": {...}, "prediction": "yes", "label_scores": {"yes": -0.5, "no": -1.5}}
    {"inputs": {...}, "error": "empty", "message": "the row has no text"}

Readers of T5X's files find `inputs` and `prediction` where they were; the scores are additions.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from prompt_tuning.inference import requests

Record = dict[str, Any]
STDOUT = "-"


def prediction_record(inputs: str | Mapping[str, Any], prediction: requests.Prediction) -> Record:
    """The record of a decoded text; with `others` only if the prediction has some.

    Args:
      inputs: The input text, or all fields that are to be kept of the example.
      prediction: Its answer.
    """
    record = {"inputs": _fields(inputs), **_answer(prediction)}
    if prediction.others:
        record["others"] = [_answer(other) for other in prediction.others]
    return record


def label_record(
    inputs: str | Mapping[str, Any], labels: Sequence[str], scores: np.ndarray
) -> Record:
    """The record of a ranking: the prediction is the label with the highest score.

    Args:
      inputs: The input text, or all fields that are to be kept of the example.
      labels: `C` of them.
      scores: float `[C]`, as `Predictor.score_labels` gives them.
    """
    return {
        "inputs": _fields(inputs),
        "prediction": labels[int(np.argmax(scores))],
        "label_scores": {label: float(score) for label, score in zip(labels, scores, strict=True)},
    }


def error_record(inputs: str | Mapping[str, Any], error: requests.RowError) -> Record:
    """The record of a row that has no answer: the kind of its error, and words for a person."""
    return {"inputs": _fields(inputs), "error": error.kind, "message": error.message}


def _answer(prediction: requests.Prediction) -> Record:
    return {"prediction": prediction.text, "score": float(prediction.score)}


def _fields(inputs: str | Mapping[str, Any]) -> Record:
    return {"inputs_pretokenized": inputs} if isinstance(inputs, str) else dict(inputs)


def score_record(inputs: str | Mapping[str, Any], score: float) -> Record:
    """The record of a target's log-likelihood."""
    return {"inputs": _fields(inputs), "score": float(score)}


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as one line of JSON.

    Raises:
      ValueError: A number is not finite; JSON has no such numbers.
    """
    return (json.dumps(record, allow_nan=False) + "\n").encode("utf-8")


class JsonlWriter:
    """Writes one JSON object to a line."""

    def __init__(self, stream: TextIO, flush_lines: bool = False):
        """Writes to an open text stream.

        Args:
          stream: Not closed by the writer.
          flush_lines: Hand on each line at once, for a reader that waits for it.
        """
        self._stream = stream
        self._flush_lines = flush_lines

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes one record; errors as `encode`."""
        self._stream.write(encode(record).decode("utf-8"))
        if self._flush_lines:
            self._stream.flush()


@contextlib.contextmanager
def open_jsonl(path: str | os.PathLike) -> Iterator[JsonlWriter]:
    """A writer to a file, or to standard output if `path` is `-`.

    The file appears under its name when the block ends without an error, never half written;
    missing folders are made. On standard output each line is handed on at once.
    """
    path = os.fspath(path)
    if path == STDOUT:
        yield JsonlWriter(sys.stdout, flush_lines=True)
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            yield JsonlWriter(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
