# SPDX-License-Identifier: Apache-2.0
"""What goes into a `Predictor` row by row, and what comes out. Plain data, no arrays."""

import dataclasses
from collections.abc import Sequence

# Kinds of `RowError`.
EMPTY = "empty"
TOO_LONG = "too_long"
UNKNOWN_PROMPT = "unknown_prompt"
UNREADABLE = "unreadable"


@dataclasses.dataclass(frozen=True)
class Request:
    """One row.

    Attributes:
      text: The input.
      prompt: Name of its prompt in the predictor's `PromptBank`; None is the predictor's own.
      seed: Of its random numbers, from 0 to 2**32 - 1, when the predictor samples: the same seed
        gives the same answer wherever the row stands. None takes those of its place in the stream.
      target: The answer that `Predictor.score_targets_stream` scores.
      tokens: The input as ids, with EOS where it ends with one; the text is not looked at then.
      target_tokens: The same of the target.

    Raises:
      ValueError: The seed is out of its range.
    """

    text: str
    prompt: str | None = None
    seed: int | None = None
    target: str | None = None
    tokens: Sequence[int] | None = None
    target_tokens: Sequence[int] | None = None

    def __post_init__(self):
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise ValueError(
                f"the seed of a request is {self.seed}; accepted are integers from 0 to 2**32 - 1"
            )


@dataclasses.dataclass(frozen=True)
class Prediction:
    """An answer.

    Attributes:
      text: The decoded text, or a label.
      score: What the search gave it.
      others: The rest of the search's answers, best first, if they were asked for.
    """

    text: str
    score: float
    others: tuple["Prediction", ...] = ()


@dataclasses.dataclass(frozen=True)
class RowError:
    """Why a row has no answer.

    Attributes:
      kind: `EMPTY`, `TOO_LONG`, `UNKNOWN_PROMPT` or `UNREADABLE`.
      message: For a person: what is wrong, what is accepted.
    """

    kind: str
    message: str


def as_request(row: str | Request | RowError) -> Request | RowError:
    """A text alone is a request with nothing but a text; an error stays one."""
    return Request(row) if isinstance(row, str) else row


def prompt_is_missing(names: Sequence[str]) -> RowError:
    """The error of a row that names no prompt where it must."""
    return RowError(
        UNKNOWN_PROMPT,
        "the row names no prompt and the predictor has none of its own; "
        f"name one of {', '.join(names) or '(none loaded)'}",
    )
