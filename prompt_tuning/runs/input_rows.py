# SPDX-License-Identifier: Apache-2.0
"""The rows of an inference run over text: lines, or TSV, CSV and JSONL. No TensorFlow.

A row that cannot be read is a row with an error, so that the output has a record for each.
"""

import csv
import dataclasses
import json
import os
from collections.abc import Iterator

from prompt_tuning.config import dataset_config
from prompt_tuning.data import file_task, row_format, row_reader
from prompt_tuning.inference import answers, requests

STDIN = "-"
LINES = "lines"
FORMATS = (LINES, *row_reader.TEXT_FORMATS)
PROMPT_COLUMN = "prompt"
_STDIN_NAME = "standard input"


def is_table(path: str) -> bool:
    """Whether the rows of a file have columns.

    Raises:
      FileNotFoundError: There is no such file.
    """
    table = row_reader.has_rows(path)
    if not os.path.isfile(path) and not (table and os.path.isdir(path)):
        raise FileNotFoundError(f"there is no input file {path}: --input_file.")
    return table


def sniffed(line: bytes, files: dataset_config.FileTask | None) -> str:
    """Which of FORMATS begins with `line`.

    A JSON object begins JSONL. A header begins TSV or CSV: a line that names the columns that make
    the text or, where none are set, that of the label or of the prompt beside others. All else is
    lines.
    """
    columns = files or dataset_config.FileTask()
    try:
        text = line.decode("utf-8-sig").strip("\r\n")
        if isinstance(json.loads(text), dict):
            return "jsonl"
    except UnicodeDecodeError:
        return LINES
    except ValueError:
        pass
    for kind, cells in (("tsv", text.split("\t")), ("csv", next(csv.reader([text]), []))):
        if _is_header(cells, columns):
            return kind
    return LINES


def _is_header(cells: list[str], columns: dataset_config.FileTask) -> bool:
    template = columns.input_template
    fields = row_format.template_parts(template) if template else []
    wanted = {str(name) for name in columns.text_columns} | {name for _, name in fields if name}
    if not wanted:
        return len(cells) > 1 and not {columns.label_column, PROMPT_COLUMN}.isdisjoint(cells)
    return wanted <= set(cells)


def of_lines(stream: row_reader.ByteLines) -> Iterator[answers.InputRow]:
    """Each line of a stream of UTF-8 text is a row; a byte order mark is dropped."""
    for line in row_reader.text_lines(stream):
        if isinstance(line, row_reader.BadRow):
            yield _unreadable(line.line, line.problem)
            continue
        text = line[1].rstrip("\r\n")
        yield answers.InputRow({"inputs_pretokenized": text}, requests.Request(text))


def of_table(
    path: str,
    files: dataset_config.FileTask | None,
    prompt_column: str | int | None,
    with_targets: bool,
    kind: str | None = None,
    stream: row_reader.ByteLines | None = None,
) -> Iterator[answers.InputRow]:
    """The rows of a TSV, CSV or JSONL file.

    Args:
      path: Of the file.
      files: Which columns make the text, and which is the label; a file may lack the latter. Bad
        rows are left out only where it says so.
      prompt_column: Has the name of the row's prompt. None: the column "prompt" if there is one.
      with_targets: Every row must have a label, which becomes the request's target.
      kind: "tsv", "csv" or "jsonl"; None goes by the file's name.
      stream: Is read instead of the file; needs `kind`.
    """
    columns = files or dataset_config.FileTask()
    optional = () if with_targets else ("label",)
    given = prompt_column is not None
    settings = dataclasses.replace(
        file_task.row_format(columns),
        label_words=columns.label_words if with_targets else (),
        prompt_column=prompt_column if given else PROMPT_COLUMN,
        optional=optional if given else (*optional, "prompt"),
        format=kind,
    )
    name = path if stream is None else _STDIN_NAME
    for row in file_task.ExampleReader(name, settings, stream).every_row():
        if isinstance(row, file_task.BadRow):
            if columns.skip_bad_rows:
                continue
            empty = row.is_blank or row.is_empty
            yield _unreadable(row.line, row.problem, requests.EMPTY if empty else None)
            continue
        fields = {"inputs_pretokenized": row.text}
        if row.target:
            fields["targets_pretokenized"] = row.target
        if row.prompt:
            fields["prompt"] = row.prompt
        target = row.target if with_targets else None
        yield answers.InputRow(fields, requests.Request(row.text, row.prompt or None, None, target))


def _unreadable(line: int, problem: str, kind: str | None = None) -> answers.InputRow:
    error = requests.RowError(kind or requests.UNREADABLE, f"line {line}: {problem}")
    return answers.InputRow({"line": line}, error)
