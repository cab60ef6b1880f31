# SPDX-License-Identifier: Apache-2.0
"""Any TFDS dataset from files whose columns are its features, for `make_tfds --files`.

For datasets without a layout of their own here, and versions that TFDS no longer makes: C4 2.2.0
from JSON Lines with `text`, CNN/DailyMail 3.1.0 with `article` and `highlights`. GLUE and SuperGLUE
are `offline_tfds`'.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from prompt_tuning.data import offline_tfds

# Datasets of which tasks read these texts alone; of any other, all features must be there.
TEXTS = {
    "c4": ("text",),
    "cnn_dailymail": ("article", "highlights"),
    "multi_news": ("document", "summary"),
}
# Web pages are longer than what a prompt is trained on.
_MAX_ROW_BYTES = 64 << 20


def features(name: str) -> tfds.features.FeaturesDict:
    """The features of a dataset, as far as rows must have them.

    Raises:
      ValueError: neither this module nor TFDS knows it.
    """
    path = name.partition(":")[0]
    dataset, _, config = path.partition("/")
    if dataset in TEXTS:
        return tfds.features.FeaturesDict(
            {feature: tfds.features.Text() for feature in TEXTS[dataset]}
        )
    try:
        return tfds.builder_cls(dataset)(config=config or None, data_dir=os.devnull).info.features
    except (AssertionError, ValueError, tfds.core.DatasetNotFoundError) as error:
        raise ValueError(
            f"TFDS knows no features of {path} ({' '.join(str(error).split())[:200]}); correct "
            "--datasets."
        ) from None


def make(name: str, files: Mapping[str, str], data_dir: str) -> str:
    """Writes a dataset into a TFDS folder.

    Args:
      name: TFDS's, with config and version.
      files: {split: path}; JSON Lines, Parquet, TSV or CSV with a header.
      data_dir: the TFDS folder.

    Returns:
      The folder of the dataset.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: the dataset is there, has no version, or a row is none of it (file and line).
    """
    path, _, version = name.partition(":")
    if not version:
        raise ValueError(f"{name} has no version; name one, such as {path}:1.0.0: --datasets.")
    for file in files.values():
        if not os.path.exists(file):
            raise FileNotFoundError(f"there is no file {file}, which is to be part of {name}.")
    folder = os.path.join(data_dir, path, version)
    if os.path.exists(folder):
        raise ValueError(f"{name} is already in {folder}; remove that folder to make it again.")
    wanted = features(name)
    for file in files.values():
        # Read before anything is written, so that a bad row leaves nothing behind.
        if not sum(1 for _ in _examples(wanted, file)):
            raise ValueError(f"{file} has no row, and is to be part of {name}.")
    offline_tfds.store(
        name, wanted, {split: _examples(wanted, file) for split, file in files.items()}, data_dir
    )
    return folder


def _examples(
    wanted: tfds.features.FeaturesDict, path: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = offline_tfds.rows_by_column(path, max_row_bytes=_MAX_ROW_BYTES)
    for number, (line, cells) in enumerate(rows):
        where = f"{path}:{line}"
        if missing := [feature for feature in wanted if cells.get(feature) is None]:
            raise ValueError(
                f"{where}: the row has no {missing[0]!r}; it needs {', '.join(wanted)}, and has "
                f"{', '.join(map(str, cells))}."
            )
        example = {feature: cells[feature] for feature in wanted}
        try:
            wanted.encode_example(example)
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise ValueError(
                f"{where}: this is no example of {', '.join(wanted)} "
                f"({' '.join(str(error).split())[:200]})."
            ) from None
        yield number, example
