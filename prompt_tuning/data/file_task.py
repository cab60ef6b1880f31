# SPDX-License-Identifier: Apache-2.0
"""Examples from the user's own file, for classification or generation.

Joins `row_reader` (bytes to rows) with `row_format` (rows to examples) and says file and line in
every error. Deliberately does not know tokens or SeqIO, and imports no TensorFlow, so that a
program that only predicts can read files with it too.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from absl import logging

from prompt_tuning.config import dataset_config
from prompt_tuning.data import row_format as row_format_lib
from prompt_tuning.data import row_reader, skipped_rows

RowFormat = row_format_lib.RowFormat
Example = row_format_lib.Example
BadRow = row_reader.BadRow
nearest = row_format_lib.nearest


class ExampleStream(Protocol):
    """Where the examples of a split come from, read from the start by each iteration."""

    @property
    def skipped(self) -> int:
        """How many bad rows the last pass left out."""

    def __iter__(self) -> Iterator[Example]: ...


def row_format(files: dataset_config.FileTask) -> RowFormat:
    """How the rows of a run's files become examples."""
    return RowFormat(
        text_columns=files.text_columns,
        label_column=files.label_column,
        label_words=files.label_words,
        input_template=files.input_template,
        skip_bad_rows=files.skip_bad_rows,
    )


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one split.

    Attributes:
      inputs: n input texts.
      targets: n target texts.
      label_ids: int32 [n]; None where there are no label words.
      skipped: how many bad rows were left out.
    """

    inputs: list[str]
    targets: list[str]
    label_ids: np.ndarray | None = None
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def __iter__(self) -> Iterator[Example]:
        """The examples one by one, numbered from 1 in place of a line."""
        ids = itertools.repeat(-1) if self.label_ids is None else map(int, self.label_ids)
        for line, row in enumerate(zip(self.inputs, self.targets, ids, strict=False), start=1):
            yield Example(*row, line)


class ExampleReader:
    """Streams the examples of one file in memory that does not grow with the file.

    `skipped` counts the bad rows that were left out in the latest pass; its end tells them, with
    file, line and reason (`skipped_rows`).
    """

    def __init__(
        self,
        path: str,
        row_format: RowFormat = RowFormat(),
        stream: row_reader.ByteLines | None = None,
    ):
        """Opens nothing yet.

        Args:
          path: of the file, or how errors name the stream.
          row_format: what the columns mean.
          stream: is read instead, once; `row_format` must tell its format.
        """
        self.path = path
        self.skipped = 0
        self._format = row_format
        self._stream = stream

    def __iter__(self) -> Iterator[Example]:
        """Yields the examples in file order.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: the columns do not fit the file, the file has no usable row, or (without
            `skip_bad_rows`) one row cannot be used.
        """
        self.skipped, count = 0, 0
        skipped = skipped_rows.SkippedRows(self.path)
        for row in self.every_row():
            if not isinstance(row, BadRow):
                count += 1
                yield row
                continue
            if row.is_blank:
                continue
            skipped.add(row)
            if not self._format.skip_bad_rows:
                raise ValueError(skipped.first)
            self.skipped += 1
        if not count:
            why = (
                f"no row can be used, first because of {skipped.first}"
                if skipped
                else "it has no rows; add one below the header line, or name another file"
            )
            raise ValueError(f"{self.path} gives no example: {why}")
        if skipped:
            logging.warning("%s", skipped.text())

    def every_row(self) -> Iterator[Example | BadRow]:
        """Yields every row of the file in its place: blank lines and bad rows are `BadRow`s.

        Raises:
          FileNotFoundError, ValueError: as for iterating, except that no bad row ends the reading
            but the first one of the file, which decides the columns.
        """
        convert = None
        for row in self._rows():
            if convert is None:
                where = f"{self.path}:{row.line}"
                if isinstance(row, BadRow):
                    if not row.is_blank:
                        raise ValueError(f"{where}: {row.problem}")
                    yield row
                    continue
                convert = row_format_lib.RowConverter(self._format, row, where)
                if convert.first_is_header:
                    continue
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield convert(row)
            except row_format_lib.EmptyTextError as error:
                yield BadRow(row.line, str(error), is_empty=True)
            except row_format_lib.RowError as error:
                yield BadRow(row.line, str(error))

    def _rows(self) -> Iterator[row_reader.Row | BadRow]:
        kind, longest = self._format.format, self._format.max_row_bytes
        if self._stream is None:
            return row_reader.read_rows(self.path, kind, longest, blank_rows=True)
        if kind is None:
            raise ValueError("a stream has no name that tells its format; give RowFormat.format.")
        return row_reader.read_stream(self._stream, kind, longest, blank_rows=True)


def read_examples(path: str, row_format: RowFormat = RowFormat()) -> Examples:
    """Reads a whole file; errors as `ExampleReader`."""
    return collect(ExampleReader(path, row_format))


def collect(stream: ExampleStream) -> Examples:
    """All examples of a stream; errors as `ExampleReader`."""
    if isinstance(stream, Examples):
        return stream
    inputs, targets, label_ids = [], [], []
    for example in stream:
        inputs.append(example.text)
        targets.append(example.target)
        label_ids.append(example.label_id)
    labelled = any(label_id >= 0 for label_id in label_ids)
    ids = np.array(label_ids, np.int32) if labelled else None
    return Examples(inputs, targets, ids, stream.skipped)
