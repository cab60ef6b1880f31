# SPDX-License-Identifier: Apache-2.0
"""Throughput of the whole input pipeline, from rows on disk to batches, for a task of each family.

  tools/bazel run -c opt //tests/benchmarks:task_family_benchmark -- --rows=20000

Against it: `seqio.get_dataset` with SeqIO's own SentencePiece vocabulary, EncDecFeatureConverter and
batches padded to full length, over the same rows. The two take turns; figures are examples per
CPU-second of one epoch, medians over the turns. The rows are reviews of the bundled world.
"""

import csv
import functools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow
import pyarrow.parquet
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import app, flags, logging

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled, world
from prompt_tuning.data import file_task, offline_tfds, pipeline, task_table, tasks

_ROWS = flags.DEFINE_integer("rows", 20_000, "Rows of each task.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each pipeline.", 1)
_BATCH = 32
_LENGTHS = {"inputs": 128, "targets": 32}
_BUCKETS = {"inputs": (16, 32, 64, 128), "targets": (4, 8, 16, 32)}
_LABELS = ("negative", "positive")
_TEXT = tfds.features.Text()
_SQUAD = {
    "id": _TEXT,
    "title": _TEXT,
    "context": _TEXT,
    "question": _TEXT,
    "answers": tfds.features.Sequence(
        {"text": _TEXT, "answer_start": tfds.features.Scalar(np.int32)}
    ),
}

# Family -> task.
_PUBLIC = {
    "glue": "taskless_glue_sst2_v200",
    "super_glue": "super_glue_boolq_v102",
    "qa": "squad_v010_allanswers_examples",
    "summarization": "xsum_v110_examples",
    "c4": "c4_v220_bart_text_infilling",
}


def vocabulary() -> SentencePieceVocabulary:
    return SentencePieceVocabulary(bundled.vocabulary_path(), 100)


def write_files(folder: str, examples: list[tuple[str, str]]) -> dict[str, str]:
    """{format: path} of the same rows."""
    paths = {
        kind: os.path.join(folder, f"rows.{kind}") for kind in ("tsv", "csv", "jsonl", "parquet")
    }
    rows = [("text", "label"), *examples]
    with open(paths["tsv"], "w", encoding="utf-8") as file:
        file.writelines(f"{text}\t{label}\n" for text, label in rows)
    with open(paths["csv"], "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    with open(paths["jsonl"], "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": t, "label": label}) + "\n" for t, label in examples)
    texts, labels = zip(*examples, strict=True)
    columns = {"text": list(texts), "label": list(labels)}
    pyarrow.parquet.write_table(pyarrow.table(columns), paths["parquet"])
    return paths


def prepare_public(folder: str, examples: list[tuple[str, str]]) -> None:
    """The datasets of `_PUBLIC` in TFDS's format."""
    sst2, boolq = os.path.join(folder, "sst2.tsv"), os.path.join(folder, "boolq.jsonl")
    with open(sst2, "w", encoding="utf-8") as file:
        file.write("sentence\tlabel\n")
        file.writelines(f"{text}\t{_LABELS.index(label)}\n" for text, label in examples)
    with open(boolq, "w", encoding="utf-8") as file:
        for i, (text, label) in enumerate(examples):
            row = {"idx": i, "question": text, "passage": text, "label": label == "positive"}
            file.write(json.dumps(row) + "\n")
    for name, path in (("glue/sst2:2.0.0", sst2), ("super_glue/boolq:1.0.2", boolq)):
        for dataset in offline_tfds.parse(name):
            offline_tfds.make(dataset, {"train": path}, folder)
    stored = {
        "squad/v1.1:3.0.0": (
            _SQUAD,
            lambda text, label: {
                "id": "i", "title": "t", "context": text, "question": f"what is {label}?",
                "answers": {"text": [label], "answer_start": [0]},
            },
        ),
        "xsum:1.1.0": (
            {"document": _TEXT, "summary": _TEXT},
            lambda text, label: {"document": text, "summary": label},
        ),
        "c4/en:2.2.0": ({"text": _TEXT}, lambda text, label: {"text": text}),
    }  # fmt: skip
    for name, (features, make) in stored.items():
        rows = [make(text, label) for text, label in examples]
        features = tfds.features.FeaturesDict(features)
        offline_tfds.store(name, features, {"train": list(enumerate(rows))}, folder)


def ours_of_file(path: str) -> Iterator:
    """A fresh task each time: reading and tokenising are part of it."""
    row_format = file_task.RowFormat(label_words=_LABELS)
    tasks.register_file_task({"train": path}, row_format, vocabulary())
    return _ours(tasks.FILE_TASK)


def ours_of_task(name: str) -> Iterator:
    task_table.register(name, vocabulary())
    return _ours(name)


def _ours(name: str) -> Iterator:
    return pipeline.BatchIterator(
        name, _LENGTHS, "train", _BATCH, seed=0, num_epochs=1, length_buckets=_BUCKETS
    )


def seqio_of_file(path: str) -> Iterator:
    """What a user of SeqIO writes for a TSV file."""
    pieces = seqio.SentencePieceVocabulary(bundled.vocabulary_path(), 100)
    seqio.TaskRegistry.remove("tsv")

    def parse(line):
        text, label = tf.unstack(tf.strings.split(line, "\t"), num=2)
        return {"inputs": text, "targets": label}

    seqio.TaskRegistry.add(
        "tsv",
        source=seqio.TextLineDataSource({"train": path}, skip_header_lines=1),
        preprocessors=[
            lambda dataset: dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE),
            seqio.preprocessors.tokenize,
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features={
            "inputs": seqio.Feature(pieces, add_eos=True),
            "targets": seqio.Feature(pieces, add_eos=True),
        },
    )
    return _seqio("tsv")


def seqio_of_task(name: str) -> Iterator:
    pieces = seqio.SentencePieceVocabulary(bundled.vocabulary_path(), 100)
    task_table.register(name, pieces)
    return _seqio(name)


def _seqio(name: str) -> Iterator:
    converter = seqio.EncDecFeatureConverter(pack=False)
    dataset = seqio.get_dataset(name, _LENGTHS, converter, dataset_split="train", seed=0)
    return iter(dataset.batch(_BATCH, drop_remainder=True).prefetch(2).as_numpy_iterator())


def examples_per_cpu_second(make: Callable[[], Iterator]) -> float:
    """One epoch, with everything that comes before its first batch."""
    started, count = time.process_time(), 0
    for _ in make():
        count += _BATCH
    return count / (time.process_time() - started)


def cases(folder: str, examples: list[tuple[str, str]]) -> dict[str, tuple[Callable, Callable]]:
    """{family: (ours, SeqIO's)}."""
    paths = write_files(folder, examples)
    prepare_public(folder, examples)
    seqio.set_tfds_data_dir_override(folder)
    peer = functools.partial(seqio_of_file, paths["tsv"])
    found = {
        f"own file, {kind}": (functools.partial(ours_of_file, path), peer)
        for kind, path in paths.items()
    }
    return found | {
        f"{family}: {name}": (
            functools.partial(ours_of_task, name),
            functools.partial(seqio_of_task, name),
        )
        for family, name in _PUBLIC.items()
    }


def report(rows: int, rounds: int) -> str:
    """The table as Markdown, and the machine."""
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores; {rows:,} rows, batches of {_BATCH}, lengths "
        f"{_LENGTHS['inputs']} and {_LENGTHS['targets']}, medians of {rounds} turns.",
        "",
        "| task | examples per CPU-second | SeqIO's own way | ratio |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, pair in cases(folder, world.classification_examples("train", rows, 0)).items():
            turns = [[examples_per_cpu_second(make) for make in pair] for _ in range(rounds)]
            ours, theirs = (statistics.median(values) for values in zip(*turns, strict=True))
            lines.append(f"| {name} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} |")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"got {argv[1:]}; everything is given by flags.")
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    print(report(_ROWS.value, _ROUNDS.value))


if __name__ == "__main__":
    app.run(main)
