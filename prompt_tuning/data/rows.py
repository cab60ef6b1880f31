# SPDX-License-Identifier: Apache-2.0
"""One row of a file, whatever the file's format is."""

import dataclasses
from typing import NamedTuple

# Longer rows are almost always a file of another kind; reading them would fill the memory.
MAX_ROW_BYTES = 1 << 20


class Row(NamedTuple):
    """One row and where it starts: its line, or its number in files without lines, from 1.

    `cells` are the cells in file order (TSV, CSV), or by name (JSON, Parquet, Arrow).
    """

    line: int
    cells: list[str] | dict[str, object]


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: its line or number, from 1, and what is wrong with it.

    `is_blank`: nothing is on the line. `is_empty`: the row is there, and its text is empty.
    """

    line: int
    problem: str
    is_blank: bool = False
    is_empty: bool = False


def too_long(line: int, max_row_bytes: int) -> BadRow:
    """The bad row in place of one that has more than `max_row_bytes`."""
    return BadRow(
        line,
        f"the row is longer than {max_row_bytes} bytes, which is no example for a prompt; shorten "
        "it, or set --skip_bad_rows (SKIP_BAD_ROWS) to leave such rows out.",
    )
