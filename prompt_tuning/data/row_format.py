# SPDX-License-Identifier: Apache-2.0
"""How a row of a file becomes an example: columns, template and label words.

Knows rows and names of columns. Deliberately does not know files (`row_reader` reads them), tokens
or SeqIO, and imports no TensorFlow.
"""

import dataclasses
import difflib
import string
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from prompt_tuning.data import row_reader


class RowError(ValueError):
    """What is wrong with one row; who reads the file puts its name and the line in front."""


class EmptyTextError(RowError):
    """The row is all right, but its text is empty."""


class Example(NamedTuple):
    """One example and the line it is from; without labels `target` is "" and `label_id` is -1.

    `prompt` is the name of the prompt that the row asks for, or "".
    """

    text: str
    target: str
    label_id: int
    line: int
    prompt: str = ""


@dataclasses.dataclass(frozen=True)
class RowFormat:
    """What the columns of a file mean.

    Attributes:
      text_columns: names (or, for TSV and CSV, indices from 0) of the columns that make the input.
        Empty: the fields of `input_template`, or else the one column that is not the label.
      label_column: name or index of the column with the target; None when the file has no labels.
      label_words: the texts the model answers with, in label id order. A cell holds one of them,
        or its index. Empty: the cell's text is the target as it stands (generation), and there
        are no label ids.
      label_map: cell text -> label word, for files with other names for the labels.
      input_template: `str.format` text over the text columns, such as "{premise} {hypothesis}";
        needed when there are several.
      format: one of `row_reader.FORMATS`; None goes by the file's extension.
      header: whether the first line of a TSV or CSV names the columns. None: it does, unless all
        columns are given by index.
      skip_bad_rows: leave out and count the rows that cannot be used, instead of stopping at the
        first.
      max_row_bytes: a longer row is a bad row.
      prompt_column: name or index of the column with the name of the row's prompt, or None.
      optional: which of "label" and "prompt" name a column that the file need not have.
    """

    text_columns: Sequence[str | int] = ()
    label_column: str | int | None = "label"
    label_words: Sequence[str] = ()
    label_map: Mapping[str, str] = dataclasses.field(default_factory=dict)
    input_template: str | None = None
    format: str | None = None
    header: bool | None = None
    skip_bad_rows: bool = False
    max_row_bytes: int = row_reader.MAX_ROW_BYTES
    prompt_column: str | int | None = None
    optional: Collection[str] = ()

    def __post_init__(self):
        for name in ("text_columns", "label_words"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is a list, and {getattr(self, name)!r} was given.")
        words = list(self.label_words)
        if len(set(words)) != len(words):
            raise ValueError(f"label words {words} hold a word twice; give each label its own.")
        for cell, word in self.label_map.items():
            if word not in words:
                raise ValueError(
                    f"the label map sends {cell!r} to {word!r}, which is not one of the label "
                    f"words {words}."
                )
        if self.input_template is not None:
            template_parts(self.input_template)


def nearest(name: str | int, known: Sequence) -> str:
    """A hint " Did you mean ...?" for an unknown name, or "" when nothing is near."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


def is_index(column: str | int) -> bool:
    """Whether `column` is a position; flags give positions as digits."""
    return isinstance(column, int) or (column.isascii() and column.isdigit())


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """[(text before the field, field's name or None)]; a field is a column's name and no more.

    Raises:
      ValueError: the template does not parse, has no field, or has formats in its fields.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"the input template {template!r} does not parse ({error}); double each literal brace."
        ) from None
    if all(field is None for _, field, _, _ in parts):
        raise ValueError(f"the input template {template!r} names no column; write one as {{name}}.")
    for _, field, spec, conversion in parts:
        if field is not None and (not field or spec or conversion):
            raise ValueError(
                f"the input template {template!r} has a field that is not just a column's name; "
                "write {name}."
            )
    return [(text, field) for text, field, _, _ in parts]


def has_header(row_format: RowFormat) -> bool:
    """Whether the first line of a TSV or CSV read with `row_format` is a header."""
    if row_format.header is not None:
        return row_format.header
    given = [*row_format.text_columns]
    if row_format.label_column is not None:
        given.append(row_format.label_column)
    return not given or not all(is_index(column) for column in given)


class RowConverter:
    """Turns rows into examples; the first row resolves columns, template and labels, once."""

    def __init__(self, row_format: RowFormat, first: row_reader.Row, where: str):
        """Resolves `row_format` on the first row of a file; `where` is its file and line.

        Raises:
          ValueError: a column does not exist or is not told; a header names a column twice.
        """
        self._where = where
        self._is_json = isinstance(first.cells, dict)
        self.first_is_header = not self._is_json and has_header(row_format)
        self._width = len(first.cells)
        named = self._is_json or self.first_is_header
        self._names = [str(name) for name in first.cells] if named else []
        if self.first_is_header:
            twice = sorted({name for name in self._names if self._names.count(name) > 1})
            if twice:
                raise ValueError(f"{where}: the header has {twice} more than once; rename one.")
        self._optional: set[str] = set()
        self._label = self._key_of_role(row_format, "label")
        self._prompt = self._key_of_role(row_format, "prompt")
        self._words = list(row_format.label_words)
        self._ids = {str(i): i for i in range(len(self._words))}
        self._ids |= {word: i for i, word in enumerate(self._words)}
        self._ids |= {cell: self._words.index(word) for cell, word in row_format.label_map.items()}
        columns = list(row_format.text_columns) or self._default_text_columns(row_format)
        self._template = self._resolve_template(row_format, columns)
        # The column that is the text as it stands, as in most files, and None where a template joins.
        (before, key), *rest = self._template
        self._only = None if before or rest else key

    def __call__(self, row: row_reader.Row) -> Example:
        """Converts one row.

        Raises:
          RowError: the row lacks a column, has another width, a label that is unknown, or no text.
        """
        cells, key = row.cells, self._only
        if not self._is_json and len(cells) != self._width:
            raise RowError(
                f"the row has {len(cells)} columns, and the first line has {self._width}; correct "
                "the row or set --skip_bad_rows (SKIP_BAD_ROWS)."
            )
        text = self._cell(cells, key) if key is not None else self._joined(cells)
        if not text or text.isspace():
            raise EmptyTextError("the input text is empty.")
        prompt = "" if self._lacks(cells, self._prompt) else self._cell(cells, self._prompt)
        if self._lacks(cells, self._label):
            return Example(text, "", -1, row.line, prompt)
        cell = self._cell(cells, self._label)
        if not self._words:
            return Example(text, cell, -1, row.line, prompt)
        label_id = self._ids.get(cell, self._ids.get(cell.strip()))
        if label_id is None:
            raise RowError(
                f"the label {cell[:80]!r} is neither one of the label words {self._words} nor an "
                f"index from 0 to {len(self._words) - 1}; correct the row or set --label_words."
            )
        return Example(text, self._words[label_id], label_id, row.line, prompt)

    def _joined(self, cells) -> str:
        return "".join(
            part if key is None else part + self._cell(cells, key) for part, key in self._template
        )

    def _lacks(self, cells, key: str | int | None) -> bool:
        """Whether there is no such column, or the row leaves out a member that it may leave out."""
        if key is None:
            return True
        return key in self._optional and self._is_json and cells.get(key) is None

    def _cell(self, cells, key) -> str:
        if not self._is_json:
            return cells[key]
        value = cells.get(key)
        if value is None and key in cells:
            raise RowError(f"{key!r} is null; give it a value.")
        if value is None:
            raise RowError(
                f"the row has no {key!r}; it has {_shown(list(cells))}.{nearest(key, list(cells))}"
            )
        if isinstance(value, bool):
            return str(int(value))
        if not isinstance(value, str | int | float):
            raise RowError(f"{key!r} must be a text or a number, not a {type(value).__name__}.")
        text = str(value)
        # JSON can spell half a surrogate pair, which no UTF-8 text and no tokenizer holds.
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise RowError(f"{key!r} holds an unpaired surrogate, which is not a character.")
        return text

    def _key_of_role(self, row_format: RowFormat, role: str) -> str | int | None:
        """The key of the column with the label or the prompt; None where there is none."""
        column = getattr(row_format, f"{role}_column")
        if column is None:
            return None
        if role in row_format.optional:
            if self._is_json:
                self._optional.add(str(column))  # A later row may have it.
                return str(column)
            if str(column) not in self._names:
                return None
        key = self._key(column, role)
        if self._is_json and role == "prompt":
            self._optional.add(str(key))  # A row that names none has the default.
        return key

    def _key(self, column: str | int, role: str) -> str | int:
        """A column's key in `Row.cells`: a position for TSV and CSV, a member's name for JSON."""
        if str(column) in self._names:
            return str(column) if self._is_json else self._names.index(str(column))
        if not self._is_json and is_index(column):
            if 0 <= int(column) < self._width:
                return int(column)
            raise ValueError(
                f"{self._where}: there is no {role} column {column}; the row has {self._width} "
                f"columns, numbered from 0; set --{role}_column."
            )
        known: Sequence[str | int] = self._names or range(self._width)
        raise ValueError(
            f"{self._where}: there is no {role} column {column!r}; the columns are "
            f"{_shown(known)}; set --{role}_column.{nearest(column, known)}"
        )

    def _default_text_columns(self, row_format: RowFormat) -> list[str | int]:
        if row_format.input_template is not None:
            fields = [field for _, field in template_parts(row_format.input_template)]
            return list(dict.fromkeys(field for field in fields if field is not None))
        names: Sequence[str | int] = self._names or range(self._width)
        keys = (self._label, self._prompt)
        taken = [names[key] if isinstance(key, int) else key for key in keys]
        others = [name for name in names if name not in taken]
        if len(others) == 1:
            return others
        raise ValueError(
            f"{self._where}: which column is the text? Besides the label there are "
            f"{_shown(others)}; set --text_column."
        )

    def _resolve_template(
        self, row_format: RowFormat, columns: list[str | int]
    ) -> list[tuple[str, str | int | None]]:
        keys = {str(column): self._key(column, "text") for column in columns}
        if row_format.input_template is None:
            if len(columns) == 1:
                return [("", key) for key in keys.values()]
            example = " ".join(f"{{{column}}}" for column in columns)
            raise ValueError(
                f"there are {len(columns)} text columns and no template that joins them; "
                f'set --input_template, for example "{example}".'
            )
        resolved: list[tuple[str, str | int | None]] = []
        for part, field in template_parts(row_format.input_template):
            if field is not None and field not in keys:
                raise ValueError(
                    f"the input template names {field!r}, which is not one of the text columns "
                    f"{_shown(list(keys))}; correct --input_template.{nearest(field, list(keys))}"
                )
            resolved.append((part, None if field is None else keys[field]))
        return resolved


def _shown(names: Sequence, limit: int = 20) -> str:
    shown = ", ".join(repr(name)[:60] for name in names[:limit]) or "none"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
