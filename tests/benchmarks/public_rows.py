# SPDX-License-Identifier: Apache-2.0
"""Rows for every public dataset that a registered task reads, made of the bundled world's reviews.

The features are TFDS's own, the texts are reviews, so a task over them has the steps and the number
of tokens of a short real one; the few datasets whose steps look into their texts have rows of their
shape. What is measured on them is speed alone.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from prompt_tuning.data import local_dataset, offline_tfds, task_spec

Example = Mapping[str, Any]
_SPLITS = ("train", "validation", "test")


def _wsc(i: int, text: str, label: str) -> Example:
    return {
        "text": f"{label} {text} because it was so", "span1_text": label, "span1_index": 0,
        "span2_text": "it", "span2_index": len(text.split()) + 2, "idx": i, "label": i % 2,
    }  # fmt: skip


def _dpr(i: int, text: str, label: str) -> Example:
    return {
        "sentence": f"{text} and it is {label} .", "pronoun": "it",
        "candidates": [label, "nothing"], "label": i % 2,
    }  # fmt: skip


def _record(i: int, text: str, label: str) -> Example:
    return {
        "passage": f"{text}\n@highlight\n{text}", "query": f"{text} @placeholder",
        "entities": [label, "nobody"], "answers": [label], "idx": {"passage": i, "query": i},
    }  # fmt: skip


# Where the steps of a task look into the text.
_SHAPED: Mapping[str, Callable[[int, str, str], Example]] = {
    "definite_pronoun_resolution": _dpr,
    "super_glue/record": _record,
    "super_glue/wsc.fixed": _wsc,
}


def base_splits(spec: task_spec.TaskSpec) -> dict[str, str]:
    """{split of the task: split of the dataset that it reads}."""
    splits = spec.splits or _SPLITS
    mapped = splits if isinstance(splits, Mapping) else dict(zip(splits, splits, strict=True))
    return {name: re.split(r"\W", str(base), maxsplit=1)[0] for name, base in mapped.items()}


def first_split(spec: task_spec.TaskSpec) -> str:
    """The split that is measured: the one for training, if the task has it."""
    splits = base_splits(spec)
    return "train" if "train" in splits else next(iter(splits))


def prepare(
    specs: Iterable[task_spec.TaskSpec], texts: Sequence[tuple[str, str]], data_dir: str
) -> None:
    """Writes the datasets that tasks read, as far as their splits that are measured go.

    Args:
      specs: of the tasks.
      texts: (text, label) of each row; a task that holds rows out of its training split has as many.
      data_dir: a TFDS folder; a dataset that is in it stays as it is.
    """
    splits: dict[str, set[str]] = {}
    held_out: dict[str, int] = {}
    for spec in specs:
        splits.setdefault(spec.dataset, set()).add(base_splits(spec)[first_split(spec)])
        held_out[spec.dataset] = max(held_out.get(spec.dataset, 0), _held_out(spec))
    for name, wanted in splits.items():
        path, _, version = name.partition(":")
        if os.path.exists(os.path.join(data_dir, path, version)):
            continue
        features = local_dataset.features(name)
        more = itertools.islice(itertools.cycle(texts), held_out[name])
        rows = list(_rows(path, features, [*texts, *more]))
        examples = {split: rows if split == "train" else rows[: len(texts)] for split in wanted}
        offline_tfds.store(name, features, examples, data_dir)


def _held_out(spec: task_spec.TaskSpec) -> int:
    """How many rows the slices of a task cut off: 500 of `train[:-500]`."""
    slices = spec.splits.values() if isinstance(spec.splits, Mapping) else ()
    return max((int(n) for part in slices for n in re.findall(r"\d+", str(part))), default=0)


def _rows(path: str, features: tfds.features.FeaturesDict, texts) -> Iterator[tuple[int, Example]]:
    shaped = _SHAPED.get(path)
    for i, (text, label) in enumerate(texts):
        yield i, shaped(i, text, label) if shaped else _value(features, i, text, label)


def _value(feature: Any, i: int, text: str, label: str) -> Any:
    """A value of the feature: texts for texts, numbers by the row."""
    if isinstance(feature, tfds.features.FeaturesDict):
        return {name: _value(inner, i, text, label) for name, inner in feature.items()}
    if isinstance(feature, tfds.features.Sequence):
        return [_value(feature.feature, i, label, label)]
    if isinstance(feature, tfds.features.ClassLabel):
        return i % feature.num_classes
    dtype = np.dtype(feature.np_dtype)
    if dtype.kind == "f":
        return (i % 26) / 5
    return text if dtype.kind in "OSU" else i % 7
