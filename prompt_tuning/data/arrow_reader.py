# SPDX-License-Identifier: Apache-2.0
"""Rows of Parquet files, Arrow files, and HuggingFace `datasets` folders on disk.

`Dataset.save_to_disk` writes a folder with `state.json`, which lists Arrow files in the stream
format; `DatasetDict.save_to_disk` one with `dataset_dict.json` and such a folder for each split.
Both are read with pyarrow, batch by batch; the `datasets` package is not needed. pyarrow is loaded
at the first use.
"""

import importlib
import json
import os
from collections.abc import Iterator
from typing import Any

from prompt_tuning.data import rows

STATE_FILE = "state.json"
SPLITS_FILE = "dataset_dict.json"

_BATCH_ROWS = 1024
# Of Arrow's file format, which is the stream format between two footers.
_FILE_MAGIC = b"ARROW1"


def is_dataset(path: str) -> bool:
    """Whether `path` is what `save_to_disk` wrote, with splits or without."""
    return any(os.path.isfile(os.path.join(path, name)) for name in (STATE_FILE, SPLITS_FILE))


def split_folder(path: str, split: str) -> str:
    """The folder of `split` where `path` is one of several splits; any other path as it is.

    Raises:
      ValueError: it has no such split.
    """
    listed = os.path.join(path, SPLITS_FILE)
    if not os.path.isfile(listed):
        return path
    names = _json(listed, "splits")
    if split not in names:
        raise ValueError(
            f"{path} has no split {split!r}; it has {', '.join(names)}. Give the folder of one of "
            f"them: --{split}_file={os.path.join(path, names[0] if names else 'SPLIT')}."
        )
    return os.path.join(path, split)


def parquet_rows(path: str, max_row_bytes: int) -> Iterator[rows.Row | rows.BadRow]:
    """The rows of a Parquet file.

    Raises:
      ValueError: it is damaged or no Parquet file.
    """
    yield from _rows(_parquet_batches(path), max_row_bytes)


def arrow_rows(path: str, max_row_bytes: int) -> Iterator[rows.Row | rows.BadRow]:
    """The rows of an Arrow file, or of the files of a folder that `Dataset.save_to_disk` wrote.

    Raises:
      ValueError: the folder holds several splits or an unsaved selection; a file is damaged.
      FileNotFoundError: the folder lacks one of its files.
    """
    pyarrow = importlib.import_module("pyarrow")
    files = _data_files(path) if os.path.isdir(path) else [path]
    batches = (batch for file in files for batch in _arrow_batches(pyarrow, file))
    yield from _rows(batches, max_row_bytes)


def _data_files(folder: str) -> list[str]:
    if os.path.isfile(os.path.join(folder, SPLITS_FILE)):
        names = ", ".join(_json(os.path.join(folder, SPLITS_FILE), "splits"))
        raise ValueError(f"{folder} holds the splits {names}; give the folder of one of them.")
    state = os.path.join(folder, STATE_FILE)
    if _json(state, "_indices_data_files", ()) or _json(state, "_indices_files", ()):
        raise ValueError(
            f"{folder} is a selection of rows that was not written out; call flatten_indices() "
            "on the dataset and save it again."
        )
    return [os.path.join(folder, file["filename"]) for file in _json(state, "_data_files")]


def _json(path: str, member: str, *default: Any) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return content.get(member, *default) if default else content[member]
    except (ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not what save_to_disk writes ({error!r}).") from None


def _parquet_batches(path: str) -> Iterator[Any]:
    pyarrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_BATCH_ROWS)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet ({_first_line(error)}).") from None


def _arrow_batches(pyarrow: Any, path: str) -> Iterator[Any]:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {path}, which {STATE_FILE} beside it names.")
    try:
        with pyarrow.OSFile(path) as file:
            if file.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
                reader = pyarrow.ipc.open_file(file)
                yield from map(reader.get_batch, range(reader.num_record_batches))
            else:
                file.seek(0)
                yield from pyarrow.ipc.open_stream(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as Arrow ({_first_line(error)}).") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _rows(batches: Iterator[Any], max_row_bytes: int) -> Iterator[rows.Row | rows.BadRow]:
    number = 0
    for batch in batches:
        names = batch.schema.names
        columns = [_values(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            number += 1
            yield _row(number, dict(zip(names, values, strict=True)), max_row_bytes)


def _values(column: Any) -> list[Any]:
    """Python values of a column; a text that is not UTF-8 stands as its error."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error


def _row(number: int, cells: dict[str, Any], max_row_bytes: int) -> rows.Row | rows.BadRow:
    size = 0
    for name, value in cells.items():
        if isinstance(value, UnicodeDecodeError):
            problem = f"byte {value.start} of {name!r} is not UTF-8; save the column as UTF-8 text."
            return rows.BadRow(number, problem)
        size += len(value) if isinstance(value, str | bytes) else 0
    return rows.too_long(number, max_row_bytes) if size > max_row_bytes else rows.Row(number, cells)
