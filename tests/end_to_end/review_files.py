# SPDX-License-Identifier: Apache-2.0
"""Little labelled files of the bundled world, in the formats that a user's files have."""

import csv
import json
import pathlib

import pyarrow
import pyarrow.parquet

from prompt_tuning.bundled import world

LABELS = "--label_words=negative,positive"
# Bigger than a batch of 16, small enough to be evaluated within a second.
SIZES = {"train": 64, "validation": 24, "test": 24}


def examples(split: str) -> list[tuple[str, str]]:
    """(review, label) of a split."""
    return world.classification_examples(split, SIZES[split])


def write(folder: pathlib.Path, split: str, ending: str) -> pathlib.Path:
    """Writes a split as "tsv", "csv", "jsonl" or "parquet" with the columns text and label."""
    path = folder / f"{split}.{ending}"
    rows = examples(split)
    if ending == "parquet":
        texts, labels = zip(*rows, strict=True)
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), path)
        return path
    with open(path, "w", encoding="utf-8", newline="") as file:
        if ending == "jsonl":
            file.writelines(json.dumps({"text": t, "label": label}) + "\n" for t, label in rows)
        elif ending == "csv":
            csv.writer(file).writerows([("text", "label"), *rows])
        else:
            file.writelines(f"{text}\t{label}\n" for text, label in [("text", "label"), *rows])
    return path


def flags(folder: pathlib.Path, ending: str = "tsv", splits=tuple(SIZES)) -> list[str]:
    """Writes the splits and returns the flags that name them and the labels."""
    return [LABELS, *(f"--{split}_file={write(folder, split, ending)}" for split in splits)]
