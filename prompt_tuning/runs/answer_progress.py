# SPDX-License-Identifier: Apache-2.0
"""What a person sees of a running inference: rows, rows per second, and how many had errors."""

import collections
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

_LINE_SECONDS, _TERMINAL_SECONDS = 10.0, 0.25


class AnswerProgress:
    """Counts records; tells on standard error, seldom to a log and often to a terminal."""

    def __init__(
        self,
        stream: TextIO | None = None,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the clock.

        Args:
          stream: Default standard error.
          quiet: Say nothing before the end, because the answers go to the same terminal.
          clock: Seconds.
        """
        self._stream = stream or sys.stderr
        self._rewrites = self._stream.isatty()
        self._pause = _TERMINAL_SECONDS if self._rewrites else _LINE_SECONDS
        self._clock, self._quiet = clock, quiet
        self._started = self._told = clock()
        self.count = 0
        self.errors: collections.Counter[str] = collections.Counter()

    def add(self, record: Mapping[str, Any]) -> None:
        """One more record."""
        self.count += 1
        if "error" in record:
            self.errors[record["error"]] += 1
        now = self._clock()
        if self.count == 1:
            self._told = now  # What came before is loading and compiling.
        if not self._quiet and now - self._told >= self._pause:
            self._told = now
            end = "\r" if self._rewrites else "\n"
            print(self._text(now), end=end, file=self._stream, flush=True)

    def finish(self) -> None:
        """The last word, in one line."""
        print(self._text(self._clock()), file=self._stream, flush=True)

    def _text(self, now: float) -> str:
        seconds = max(now - self._started, 1e-9)
        rate = self.count / seconds
        text = (
            f"{self.count:,} {'example' if self.count == 1 else 'examples'} in {seconds:.1f} s "
            f"({rate:,.{0 if rate >= 10 else 2}f} per second)"
        )
        if self.errors:
            kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.errors.items()))
            text += f"; {self.errors.total():,} without an answer: {kinds}"
        return text
