# SPDX-License-Identifier: Apache-2.0
"""Rows of a file of the user's, one at a time: TSV, CSV, JSON Lines, Parquet, Arrow.

Knows files, encodings and line numbers (`arrow_reader` those without lines). Deliberately does not
know which column is text, what a label is, or what a token is; imports no TensorFlow. A row that
cannot be used arrives as a `BadRow` in its place, so that the caller decides whether one bad row
stops everything.
"""

import contextlib
import csv
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from typing import Protocol

from prompt_tuning.data import arrow_reader, rows

Row = rows.Row
BadRow = rows.BadRow
MAX_ROW_BYTES = rows.MAX_ROW_BYTES

TEXT_FORMATS = ("tsv", "csv", "jsonl")
FORMATS = (*TEXT_FORMATS, "parquet", "arrow")

_EXTENSIONS = {
    ".arrow": "arrow",
    ".csv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tab": "tsv",
    ".tsv": "tsv",
}
# What to do about a line of JSON Lines that is none.
_CORRECT = "a line must be one JSON object; correct it or set --skip_bad_rows (SKIP_BAD_ROWS)"
_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_BOM = b"\xef\xbb\xbf"


class ByteLines(Protocol):
    """What rows are read from: an open binary file, or anything else with lines."""

    def readline(self, limit: int = -1, /) -> bytes: ...


def file_format(path: str, given: str | None = None) -> str:
    """The format of `path`: `given`, or what its extension says (looking through a final `.gz`).

    A folder that `datasets` saved is "arrow".

    Raises:
      ValueError: `given` is no known format, or there is none and the extension says nothing.
    """
    if given is not None:
        if given not in FORMATS:
            raise ValueError(f"the file format {given!r} is not one of {', '.join(FORMATS)}.")
        return given
    if arrow_reader.is_dataset(path):
        return "arrow"
    stem, extension = os.path.splitext(os.path.basename(path))
    if extension.lower() == ".gz":
        extension = os.path.splitext(stem)[1]
    known = _EXTENSIONS.get(extension.lower())
    if known is None:
        raise ValueError(
            f"{path}: the extension {extension!r} does not tell the format; rename the file to one "
            f"of {', '.join(_EXTENSIONS)} or, in infer, set --input_format (INPUT_FORMAT)."
        )
    return known


def has_rows(path: str) -> bool:
    """Whether `path` is named like one of the formats, or is a saved dataset: not plain lines."""
    try:
        return bool(file_format(path))
    except ValueError:
        return False


def read_rows(
    path: str,
    format: str | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
    blank_rows: bool = False,
) -> Iterator[Row | BadRow]:
    """Reads `path` row by row in memory that does not grow with the file.

    TSV cells are taken as they stand (no quoting), CSV follows RFC 4180, JSON Lines holds one
    object per line. Their text must be UTF-8; a leading byte order mark is dropped. gzip is
    recognised by content, whatever the name. Parquet and Arrow name their columns and number their
    rows.

    Args:
      path: a local file, or a folder of `Dataset.save_to_disk`.
      format: one of FORMATS; None goes by the extension.
      max_row_bytes: a longer row is a bad row.
      blank_rows: a blank line is a bad row too, and not skipped.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the format is unknown; the file is a directory, empty, or damaged gzip.
    """
    kind = _checked_format(path, format)
    if kind in _ARROW_READERS:
        yield from _ARROW_READERS[kind](path, max_row_bytes)
        return
    with open_bytes(path) as file:
        if not file.peek(1):
            raise ValueError(f"{path} is empty; it needs at least one row.")
        yield from read_stream(file, kind, max_row_bytes, blank_rows)


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[io.BufferedReader]:
    """The bytes of a file; gzip is recognised by content, whatever the name, and unpacked.

    Raises:
      ValueError: where it is read: the file is damaged gzip.
    """
    with open(path, "rb") as raw:
        is_gzip = raw.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
        try:
            yield io.BufferedReader(gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged gzip ({error}); compress it again.") from None


def read_stream(
    stream: ByteLines,
    format: str,
    max_row_bytes: int = MAX_ROW_BYTES,
    blank_rows: bool = False,
) -> Iterator[Row | BadRow]:
    """Reads the rows of a stream as they come, such as those of standard input.

    Args:
      stream: of bytes.
      format: one of TEXT_FORMATS.
      max_row_bytes: a longer row is a bad row.
      blank_rows: a blank line is a bad row too, and not skipped.
    """
    parse = {"tsv": _tsv_rows, "csv": _csv_rows, "jsonl": _jsonl_rows}[format]
    for row in parse(text_lines(stream, max_row_bytes), max_row_bytes):
        if blank_rows or not (isinstance(row, BadRow) and row.is_blank):
            yield row


_ARROW_READERS = {
    "parquet": arrow_reader.parquet_rows,
    "arrow": arrow_reader.arrow_rows,
}


def _checked_format(path: str, given: str | None) -> str:
    if os.path.isdir(path) and not arrow_reader.is_dataset(path):
        raise ValueError(
            f"{path} is a directory, and not one that datasets.save_to_disk wrote; give one of the "
            "files in it."
        )
    kind = file_format(path, given)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no file {path}; correct the flag that names it: --train_file, "
            "--validation_file, --test_file or --input_file."
        )
    return kind


def text_lines(
    file: ByteLines, max_row_bytes: int = MAX_ROW_BYTES
) -> Iterator[tuple[int, str] | BadRow]:
    """Yields (line number, text with its line end), or a bad row where a line is no text or too long.

    Text is UTF-8 without NUL; a leading byte order mark is dropped.
    """
    offset, number = 0, 0
    while data := file.readline(max_row_bytes + 1):
        number += 1
        start, offset = offset, offset + len(data)
        if len(data) > max_row_bytes:
            while data and not data.endswith(b"\n"):
                data = file.readline(max_row_bytes + 1)
                offset += len(data)
            yield rows.too_long(number, max_row_bytes)
            continue
        if number == 1 and data.startswith(_UTF8_BOM):
            data, start = data[len(_UTF8_BOM) :], start + len(_UTF8_BOM)
        if (nul := data.find(b"\0")) >= 0:
            yield BadRow(number, f"byte {start + nul} of the file is NUL; save it as UTF-8 text.")
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            at = start + error.start
            yield BadRow(number, f"byte {at} of the file is not UTF-8; save it as UTF-8 text.")
            continue
        yield number, text


def _blank(line: int) -> BadRow:
    return BadRow(line, "the line is empty.", is_blank=True)


def _tsv_rows(lines: Iterator, max_row_bytes: int) -> Iterator[Row | BadRow]:
    del max_row_bytes
    for line in lines:
        if isinstance(line, BadRow):
            yield line
            continue
        number, text = line
        text = text.removesuffix("\n").removesuffix("\r")
        yield Row(number, text.split("\t")) if text else _blank(number)


def _jsonl_rows(lines: Iterator, max_row_bytes: int) -> Iterator[Row | BadRow]:
    del max_row_bytes
    for line in lines:
        if isinstance(line, BadRow):
            yield line
            continue
        number, text = line
        if not text or text.isspace():
            yield _blank(number)
            continue
        try:
            cells = _parse_json(text)
        except _TwiceError as error:
            yield BadRow(
                number,
                f"the member {str(error)[:60]!r} is named twice, and which one counts is not known; "
                "rename one, or set --skip_bad_rows (SKIP_BAD_ROWS).",
            )
            continue
        except (ValueError, RecursionError) as error:
            yield BadRow(number, f"this is not JSON ({_reason(error)}): {_CORRECT}.")
            continue
        if isinstance(cells, dict):
            yield Row(number, cells)
        else:
            kind = type(cells).__name__
            yield BadRow(number, f"this is a JSON {kind}: {_CORRECT}.")


class _TwiceError(Exception):
    """An object names a member twice; the message is its name."""


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of these members; `json` alone would keep the last of two with one name."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


_parse_json = json.JSONDecoder(object_pairs_hook=_members).decode


def _reason(error: Exception) -> str:
    """Why a line is not JSON, with its column; the decoder's own line number is that of a string."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.pos + 1}"
    return str(error)


class _CsvLines:
    """Feeds csv.reader with text lines; sets the unreadable ones and the row's start aside."""

    def __init__(self, lines: Iterator):
        self._lines = lines
        self.bad: list[BadRow] = []
        self.row_start = 0
        self.row_end = 0

    def __iter__(self):
        return self

    def __next__(self) -> str:
        for line in self._lines:
            if isinstance(line, BadRow):
                self.bad.append(line)
                continue
            number, text = line
            self.row_start, self.row_end = self.row_start or number, number
            return text
        raise StopIteration


def _csv_problem(error: csv.Error, feed: _CsvLines) -> str:
    """What is wrong with a row, and which lines go with it: an open quote takes all up to the next."""
    if feed.row_end == feed.row_start:
        return f"this is not CSV ({error})."
    return (
        f"this is not CSV ({error}), and takes the lines {feed.row_start} to {feed.row_end}; close "
        "its quote, or double the quotes within a text."
    )


def _csv_rows(lines: Iterator, max_row_bytes: int) -> Iterator[Row | BadRow]:
    # The limit is a global of the csv module: raise it, but never lower it for other readers.
    csv.field_size_limit(max(csv.field_size_limit(), max_row_bytes))
    feed = _CsvLines(lines)
    reader = csv.reader(feed, strict=True)
    while True:
        feed.row_start, problem = 0, None
        try:
            cells = next(reader, None)
        except csv.Error as error:
            cells, problem = [], _csv_problem(error, feed)
        bad, feed.bad = feed.bad, []
        yield from bad
        if problem:
            yield BadRow(feed.row_start, problem)
        elif cells is None:
            return
        else:
            yield Row(feed.row_start, cells) if cells else _blank(feed.row_start)
