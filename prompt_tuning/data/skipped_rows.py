# SPDX-License-Identifier: Apache-2.0
"""What is told of the rows that a run leaves out: each of the first ones, and the rest by reason.

A file may have millions of bad rows, so what is kept of them does not grow with their number.
"""

import collections
import re

from prompt_tuning.data import rows

# So many rows are told one by one, each with its file and line.
TOLD = 20
# So many reasons are told of the rest; there are about a dozen.
_REASONS = 12
# What differs from row to row in a problem: quoted cells, lists of them, and numbers.
_VALUES = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\d+""")


class SkippedRows:
    """The bad rows of one pass over a file."""

    def __init__(self, path: str):
        """Nothing is skipped yet; `path` names the file in what is told."""
        self._path = path
        self._told: list[str] = []
        self._rest: collections.Counter[str] = collections.Counter()

    def __len__(self) -> int:
        return len(self._told) + self._rest.total()

    def add(self, row: rows.BadRow) -> None:
        """Counts a row, and keeps what is wrong with it or the reason alone."""
        if len(self._told) < TOLD:
            self._told.append(f"{self._path}:{row.line}: {row.problem}")
        else:
            self._rest[reason(row.problem)] += 1

    @property
    def first(self) -> str:
        """File, line and problem of the first row; "" when there is none."""
        return self._told[0] if self._told else ""

    def text(self) -> str:
        """A line for all, one for each of the first rows, one for each reason among the rest."""
        lines = [f"{self._path}: {len(self):,} bad rows left out", *self._told]
        if self._rest:
            lines.append(f"and {self._rest.total():,} more:")
            shown = self._rest.most_common(_REASONS)
            lines += [f"{count:,} rows: {text}" for text, count in shown]
            if other := self._rest.total() - sum(count for _, count in shown):
                lines.append(f"{other:,} rows: other reasons")
        return "\n  ".join(lines)


def reason(problem: str) -> str:
    """What rows with the same mistake have in common: the problem without values and remedy.

    >>> reason("the label 'x' is no index from 0 to 1; correct the row.")
    'the label * is no index from * to *'
    """
    return _VALUES.sub("*", problem).partition(";")[0].removesuffix(".")
