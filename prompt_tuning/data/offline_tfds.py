# SPDX-License-Identifier: Apache-2.0
"""GLUE and SuperGLUE as TFDS datasets, from local files and without a network.

The features are TFDS's own, so `glue/sst2:2.0.0` made here is read by `seqio.TfdsDataSource` as a
downloaded one would be, with the same examples in the same order. The files are those of the
benchmarks (`SST-2/train.tsv`, `BoolQ/val.jsonl`), or for GLUE any TSV or JSON Lines file whose
columns have the names of the features. Knows no task.
"""

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from prompt_tuning.data import file_task, row_reader

Example = Mapping[str, Any]

# {benchmark: versions that tasks read}; those of GLUE differ in where TFDS downloads from.
VERSIONS = {"glue": ("1.0.0", "2.0.0"), "super_glue": ("1.0.2",)}
NO_LABEL = -1
# So many lines of rows that are left out are told.
_LINES = 20

_GLUE_FILES = {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}
_MNLI_FILES = {
    "train": "train.tsv",
    "validation_matched": "dev_matched.tsv",
    "validation_mismatched": "dev_mismatched.tsv",
    "test_matched": "test_matched.tsv",
    "test_mismatched": "test_mismatched.tsv",
}
_SUPER_GLUE_FILES = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}
_SUPER_GLUE_FOLDERS = {
    "boolq": "BoolQ",
    "cb": "CB",
    "copa": "COPA",
    "multirc": "MultiRC",
    "record": "ReCoRD",
    "rte": "RTE",
    "wic": "WiC",
    "wsc": "WSC",
    "wsc.fixed": "WSC",
    "axb": "AX-b",
    "axg": "AX-g",
}
# Columns whose names the benchmark changed, beside the name of the feature itself.
_MRPC_COLUMNS = {"sentence1": "#1 String", "sentence2": "#2 String"}
_COLA_COLUMNS = ("source", "is_acceptable", "star", "sentence")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One dataset of a benchmark: `glue/sst2:2.0.0`."""

    benchmark: str
    config: str
    version: str

    def __str__(self) -> str:
        return f"{self.benchmark}/{self.config}:{self.version}"


def parse(name: str) -> list[Dataset]:
    """The datasets that `benchmark/config[:version]` means: all versions without one.

    Raises:
      ValueError: there is no such dataset or version.
    """
    path, _, version = name.partition(":")
    benchmark, _, config = path.partition("/")
    known = [f"{group}/{c}" for group in VERSIONS for c in configs(group)]
    if path not in known:
        raise ValueError(
            f"there is no dataset {path!r}; --datasets takes {', '.join(known)}."
            f"{file_task.nearest(path, known)}"
        )
    versions = VERSIONS[benchmark]
    if version and version not in versions:
        raise ValueError(
            f"{path} has no version {version!r}; --datasets takes {', '.join(versions)}."
        )
    return [Dataset(benchmark, config, v) for v in ([version] if version else versions)]


def configs(benchmark: str) -> list[str]:
    """Names of a benchmark's datasets."""
    return [config.name for config in tfds.builder_cls(benchmark).BUILDER_CONFIGS]


def find_files(dataset: Dataset, source: str) -> dict[str, str]:
    """{split: path} of what there is of a dataset in a folder of the benchmark's layout.

    MRPC has no layout of its own; it is looked for as `MRPC/{train,dev,test}.tsv`.
    """
    folder, names = _layout(dataset)
    paths = {split: os.path.join(source, folder, name) for split, name in names.items()}
    return {split: path for split, path in paths.items() if os.path.exists(path)}


def _layout(dataset: Dataset) -> tuple[str, dict[str, str]]:
    name = dataset.config
    if dataset.benchmark == "super_glue":
        folder = _SUPER_GLUE_FOLDERS[name]
        alone = name in ("axb", "axg")
        return folder, {"test": f"{folder}.jsonl"} if alone else _SUPER_GLUE_FILES
    if name == "ax":
        return "AX", {"test": "AX.tsv"}
    if name == "mnli":
        return "MNLI", _MNLI_FILES
    if name.startswith("mnli_"):
        kind = name.removeprefix("mnli_")
        return "MNLI", {"validation": f"dev_{kind}.tsv", "test": f"test_{kind}.tsv"}
    return _builder(dataset).builder_config.data_dir, _GLUE_FILES


def _builder(dataset: Dataset) -> tfds.core.DatasetBuilder:
    """TFDS's own builder, in a folder where it finds nothing: for its features and its reader."""
    empty = os.path.join(tempfile.gettempdir(), "no_tfds_here")
    return tfds.builder_cls(dataset.benchmark)(config=dataset.config, data_dir=empty)


def folder_of(dataset: Dataset, data_dir: str) -> str:
    """Where a dataset is in a TFDS folder, if it is there."""
    return os.path.join(data_dir, dataset.benchmark, dataset.config, dataset.version)


def make(dataset: Dataset, files: Mapping[str, str], data_dir: str) -> str:
    """Writes a dataset into a TFDS folder.

    Args:
      dataset: which.
      files: {split: path}.
      data_dir: the TFDS folder (`--tfds_data_dir` of a run).

    Returns:
      The folder of the dataset.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: there is no file, the dataset is already there, or a row cannot be read (names
        the file, and for GLUE the line).
    """
    if not files:
        raise ValueError(f"there is no file for {dataset}; set --source or --files.")
    for path in files.values():
        if not os.path.exists(path):
            raise FileNotFoundError(f"there is no file {path}, which is to be part of {dataset}.")
    folder = folder_of(dataset, data_dir)
    if os.path.exists(folder):
        raise ValueError(f"{dataset} is already in {folder}; remove that folder to make it again.")
    builder = _builder(dataset)
    read = _glue_examples if dataset.benchmark == "glue" else _super_glue_examples
    # Read before anything is written, so that a bad row leaves nothing behind.
    examples = {split: list(read(builder, path, split)) for split, path in files.items()}
    store(str(dataset), builder.info.features, examples, data_dir)
    return folder


def store(
    name: str,
    features: tfds.features.FeatureConnector,
    examples: Mapping[str, Iterable[tuple[int | str, Example]]],
    data_dir: str,
) -> None:
    """Writes any dataset: `name` is TFDS's, `examples` are {split: (key, features)}.

    The order on disk is that of the hashes of the keys, as for every TFDS dataset.
    """
    path, _, version = name.partition(":")
    dataset_name, _, config = path.partition("/")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=dataset_name,
        config=config or None,
        version=version,
        features=features,
        split_datasets=dict(examples),
        data_dir=data_dir,
        description=f"{name}, prepared from local files.",
    )


def _super_glue_examples(builder, path: str, split: str) -> Iterator[tuple[int | str, Example]]:
    """TFDS's own reader, with the file in its errors."""
    count = 0
    try:
        for item in builder._generate_examples(path, split):  # The hook of every TFDS builder.
            count += 1
            yield item
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: after {count} examples there is a row that is none of "
            f"{builder.info.full_name} ({type(error).__name__}: {error}); only a test split may "
            "lack labels."
        ) from error


def _glue_examples(builder, path: str, split: str) -> Iterator[tuple[int, Example]]:
    config = builder.builder_config
    texts = _MRPC_COLUMNS if config.name == "mrpc" else config.text_features
    short: list[int] = []
    for number, (line, row) in enumerate(rows_by_column(path, config.name)):
        place = f"{path}:{line}"
        example: dict[str, Any] = {"idx": number}
        for feature, column in texts.items():
            example[feature] = row[_column(row, (column, feature), place)]
        example["label"] = _label(row, config, split, place)
        # As TFDS does: some rows of the published files are cut off.
        if None in example.values():
            short.append(line)
        else:
            yield number, example
    if short:
        lines = ", ".join(map(str, short[:_LINES])) + (", ..." if len(short) > _LINES else "")
        logging.warning("%s: left out %d rows that are cut off: %s.", path, len(short), lines)


def rows_by_column(
    path: str, config: str = "", max_row_bytes: int = row_reader.MAX_ROW_BYTES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, {column: cell}) of a file with named columns; a short row has Nones.

    Args:
      path: of TSV or CSV with a header, JSON Lines, Parquet.
      config: of GLUE; "cola" has files without a header.
      max_row_bytes: a longer row is an error.

    Raises:
      ValueError: a row cannot be read; names file and line.
    """
    header: list[str] | None = None
    for row in row_reader.read_rows(path, max_row_bytes=max_row_bytes):
        if isinstance(row, row_reader.BadRow):
            raise ValueError(f"{path}:{row.line}: {row.problem}")
        if isinstance(row.cells, dict):
            yield row.line, row.cells
            continue
        if header is None:
            # CoLA's training and development files have no header.
            headerless = config == "cola" and "sentence" not in row.cells
            header = list(_COLA_COLUMNS) if headerless else row.cells
            if not headerless:
                continue
        cells = row.cells + [None] * (len(header) - len(row.cells))
        yield row.line, dict(zip(header, cells, strict=False))


def _column(row: Mapping[str, Any], names: Iterable[str], place: str) -> str:
    for name in names:
        if name in row:
            return name
    raise ValueError(
        f"{place}: there is no column {' or '.join(map(repr, dict.fromkeys(names)))}; the columns "
        f"are {', '.join(map(repr, row))}."
    )


def _label(row: Mapping[str, Any], config: Any, split: str, place: str) -> Any:
    """What TFDS's label feature takes; None for a row that is cut off before its label."""
    names = (config.label_column, "label")
    is_test = split.startswith("test")
    if is_test and all(row.get(name) is None for name in names):
        return NO_LABEL
    value, classes = row[_column(row, names, place)], config.label_classes or []
    if value is None or value in classes:
        return value
    try:
        number = int(value) if classes else float(value)
    except ValueError:
        number = None
    lowest = NO_LABEL if is_test else 0
    if number is None or (classes and not lowest <= number < len(classes)):
        numbers = f"{', '.join(classes)}, or a number from {lowest} to {len(classes) - 1}"
        raise ValueError(
            f"{place}: the label is {value!r}; it must be {numbers if classes else 'a number'}."
        )
    return number
