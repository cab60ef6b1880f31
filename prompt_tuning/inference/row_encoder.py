# SPDX-License-Identifier: Apache-2.0
"""From requests to the arrays of a window: tokens, prompts, random seeds; or a row's error.

Knows what is wrong with a row; what becomes of it is the caller's business.

Shapes: `n` requests, `m` of them without an error, `T` input tokens.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from prompt_tuning.inference import prompt_bank, requests


class BatchTokenizer(Protocol):
    """Encodes many texts in one call."""

    def encode_padded(
        self, texts: Sequence[str], max_len: int, pad: int = 0, eos: int | None = 1
    ) -> np.ndarray: ...


class Vocabulary(Protocol):
    """What is needed of `data_ops.vocabulary.SentencePieceVocabulary`."""

    @property
    def eos_id(self) -> int: ...

    @property
    def tokenizer(self) -> BatchTokenizer: ...

    def encode(self, s: str) -> Sequence[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclasses.dataclass(frozen=True)
class EncodedRows:
    """The requests of one window.

    Attributes:
      rows: int `[m]`, which requests the arrays are of.
      asked: These `m` requests.
      tokens: int32 `[m, T]`, padded with 0.
      slots: int `[m]`, places of their prompts in the bank; zeros without a bank.
      seeds: uint32 `[m, 2]`, what each one's random numbers are made of.
      errors: The others, by their place in the window.
    """

    rows: np.ndarray
    asked: Sequence[requests.Request]
    tokens: np.ndarray
    slots: np.ndarray
    seeds: np.ndarray
    errors: dict[int, requests.RowError]

    @property
    def lengths(self) -> np.ndarray:
        """int `[m]`, tokens of each row up to the last that is no padding."""
        return _lengths(self.tokens)


class RowEncoder:
    """Encodes windows of requests, all in the same way."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        inputs_length: int,
        add_inputs_eos: bool,
        report_bad_rows: bool,
        num_ids: int | None = None,
    ):
        """Remembers how; see `predictor.Predictor` for the arguments.

        `num_ids` is how many tokens the model knows; None is not known.
        """
        self._vocabulary = vocabulary
        self._length = inputs_length
        self._eos = vocabulary.eos_id if add_inputs_eos else None
        self._report = report_bad_rows
        self._num_ids = num_ids

    def encode(
        self,
        window: Sequence[requests.Request | requests.RowError],
        table: prompt_bank.PromptTable | None = None,
        default_prompt: str | None = None,
        first: int = 0,
    ) -> EncodedRows:
        """Encodes a window.

        Args:
          window: `n` requests; errors in it stay what they are.
          table: Where their prompts are.
          default_prompt: Of the requests that name none.
          first: Place in the stream of the window's first request.

        Raises:
          ValueError: A request has no prompt or an unknown one, and bad rows are not reported.
        """
        asked: dict[int, requests.Request] = {}
        slots: dict[int, int] = {}
        errors: dict[int, requests.RowError] = {}
        for row, request in enumerate(window):
            if isinstance(request, requests.RowError):
                errors[row] = request
                continue
            found = self._slot(request, table, default_prompt)
            if not isinstance(found, requests.RowError):
                asked[row], slots[row] = request, found
            elif self._report:
                errors[row] = found
            else:
                raise ValueError(f"row {first + row}: {found.message}")
        # One more column, which only too long texts reach, if those matter.
        width = self._length + (1 if self._report else 0)
        inputs = [(request.text, request.tokens) for request in asked.values()]
        tokens = self._padded(inputs, width, self._eos)
        rows, fits = np.array(list(slots), np.int64), np.ones(len(slots), bool)
        if self._report:
            fits = tokens[:, self._length] == 0
            errors.update({row: self._too_long(asked[row]) for row in rows[~fits].tolist()})
        seeds = [_seed(request, first + row) for row, request in asked.items()]
        return EncodedRows(
            rows=rows[fits],
            asked=[asked[row] for row in rows[fits].tolist()],
            tokens=tokens[fits, : self._length],
            slots=np.array(list(slots.values()), np.int32)[fits],
            seeds=np.array(seeds, np.uint32).reshape(-1, 2)[fits],
            errors=errors,
        )

    def targets(self, asked: Sequence[requests.Request], widths: Sequence[int]) -> np.ndarray:
        """The targets of requests as tokens with EOS, padded to one of the widths.

        Args:
          asked: `m` requests.
          widths: Ascending; targets are cut to the last.

        Returns:
          int32 `[m, L]`.

        Raises:
          ValueError: A request has no target.
        """
        targets = [(request.target, request.target_tokens) for request in asked]
        for request, (text, ids) in zip(asked, targets, strict=True):
            if text is None and ids is None:
                raise ValueError(
                    f"the request {request.text!r} has no target to score; give every `Request` a "
                    "`target`"
                )
        tokens = self._padded(targets, widths[-1], self._vocabulary.eos_id)
        longest = int(np.max(_lengths(tokens), initial=1))
        return tokens[:, : widths[int(np.searchsorted(widths, longest))]]

    def _slot(
        self,
        request: requests.Request,
        table: prompt_bank.PromptTable | None,
        default_prompt: str | None,
    ) -> int | requests.RowError:
        if self._report and (error := self._input_error(request)):
            return error
        name = request.prompt or default_prompt
        if table is None:
            if name is None:
                return 0
            message = f"the row names the prompt {name!r}, but no prompts were loaded by name"
            return requests.RowError(requests.UNKNOWN_PROMPT, message)
        if name is None:
            return requests.prompt_is_missing(list(table.slots))
        if name not in table.slots:
            message = prompt_bank.unknown_prompt(name, table.slots)
            return requests.RowError(requests.UNKNOWN_PROMPT, message)
        return table.slots[name]

    def _padded(
        self, rows: Sequence[tuple[str | None, Sequence[int] | None]], width: int, eos: int | None
    ) -> np.ndarray:
        """int32 `[n, width]` of texts, which are cut before `eos`, or of ids as they are given."""
        if not rows:
            return np.zeros((0, width), np.int32)
        texts = [text if text is not None and ids is None else "" for text, ids in rows]
        tokens = self._vocabulary.tokenizer.encode_padded(texts, max_len=width, pad=0, eos=eos)
        for row, (_, ids) in zip(tokens, rows, strict=True):
            if ids is not None:
                row[:] = 0
                row[: len(ids)] = ids[:width]
        return tokens

    def _input_error(self, request: requests.Request) -> requests.RowError | None:
        """What is wrong with a text or with ids alone."""
        if request.tokens is None:
            return _text_error(request.text)
        ids = np.asarray(request.tokens, np.int64)
        if not ids.any():
            return requests.RowError(requests.EMPTY, "the row has no tokens")
        most = np.inf if self._num_ids is None else self._num_ids - 1
        outside = ids[(ids < 0) | (ids > most)]
        if not outside.size:
            return None
        return requests.RowError(
            requests.UNREADABLE,
            f"the row has the token {outside[0]}; accepted are 0 to {most}, which the model knows",
        )

    def _too_long(self, request: requests.Request) -> requests.RowError:
        if request.tokens is not None:
            count = len(request.tokens)
        else:
            count = len(self._vocabulary.encode(request.text)) + (self._eos is not None)
        return requests.RowError(
            requests.TOO_LONG,
            f"the text has {count} tokens, the limit is {self._length}; shorten it or raise "
            "`inputs_length` (--inputs_length)",
        )


def _text_error(text: str) -> requests.RowError | None:
    """What is wrong with a text alone."""
    if not text.strip():
        return requests.RowError(requests.EMPTY, "the row has no text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        message = (
            f"character {error.start} of the text is {text[error.start]!r}, half of a surrogate pair "
            "and no character"
        )
        return requests.RowError(requests.UNREADABLE, message)
    return None


def _lengths(tokens: np.ndarray) -> np.ndarray:
    """int `[n]` of `[n, T]`: tokens of each row up to the last that is no padding."""
    positions = np.arange(1, tokens.shape[1] + 1)
    return np.max(np.where(tokens != 0, positions, 0), axis=1, initial=0)


def _seed(request: requests.Request, place: int) -> tuple[int, int]:
    """Differs between a seed that was asked for and a place in the stream."""
    return (0, place % 2**32) if request.seed is None else (1, request.seed)
