# SPDX-License-Identifier: Apache-2.0
"""Throughput of the whole input pipeline, from rows on disk to batches, of every registered task.

  tools/bazel run -c opt //tests/benchmarks:task_benchmark -- --rows=2000 --rounds=5 \
      --output=$PWD/docs/task_throughput.md

Against it: `seqio.get_dataset` with SeqIO's own SentencePiece vocabulary, EncDecFeatureConverter and
batches padded to full length, over the same rows. The two take turns; figures are examples per
CPU-second of one epoch, set-up included, medians over the turns. The rows are reviews of the
bundled world, in the features of each dataset (`public_rows`).

Tasks that differ in their names, metrics, splits or the dataset's version alone have one pipeline,
which is measured once; the table says which tasks a row stands for. `--only` measures some rows,
`--results` keeps what was measured so that another call goes on.
"""

import csv
import functools
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow
import pyarrow.parquet
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import app, flags, logging

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled, world
from prompt_tuning.data import file_task, pipeline, task_spec, task_table, tasks
from tests.benchmarks import public_rows

_ROWS = flags.DEFINE_integer("rows", 2_000, "Rows of each task.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns of each pipeline.", 1)
_ONLY = flags.DEFINE_string("only", "", "Measure the rows whose name this regex finds.")
_SECONDS = flags.DEFINE_integer("seconds", None, "Begin no row after so many seconds.", 1)
_RESULTS = flags.DEFINE_string("results", None, "JSON lines of what was measured; is gone on with.")
_FOLDER = flags.DEFINE_string("folder", None, "Keep the rows here, for further calls.")
_OUTPUT = flags.DEFINE_string("output", None, "Markdown file to write; default: print.")
_BATCH = 32
_LENGTHS = {"inputs": 128, "targets": 32}
_BUCKETS = {"inputs": (16, 32, 64, 128), "targets": (4, 8, 16, 32)}
_LABELS = ("negative", "positive")
# Datasets with the same features and the same steps.
_SIBLINGS = (
    ("mrqa/", "mrqa"),
    ("anli/", "anli"),
    ("glue/mnli", "glue/mnli"),
    ("glue/ax", "glue/mnli"),
)


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


def pipelines() -> dict[str, list[str]]:
    """{the task that is measured: all tasks of its pipeline}, mixtures left out."""
    groups: dict[Any, list[str]] = {}
    for name, spec in task_table.specs().items():
        if isinstance(spec, task_spec.TaskSpec):
            groups.setdefault(_identity(spec), []).append(name)
    return {names[0]: names for names in groups.values()}


def _identity(spec: task_spec.TaskSpec) -> Any:
    """What makes the examples of a task, and how long it takes."""
    dataset = spec.dataset.partition(":")[0]
    for start, sibling in _SIBLINGS:
        dataset = sibling if dataset.startswith(start) else dataset
    steps = _described((spec.text, spec.tokens, spec.after_eos))
    return dataset, steps, spec.model == task_spec.BYTES, spec.features.__name__


def _described(step: Any) -> Any:
    """A step by its function and arguments; the number of a sentinel makes no difference."""
    if isinstance(step, functools.partial):
        options = {k: v for k, v in step.keywords.items() if k not in ("offset", "task_name")}
        return _described(step.func), _described(step.args), _described(options)
    if isinstance(step, Mapping):
        return tuple((key, _described(value)) for key, value in sorted(step.items()))
    if isinstance(step, list | tuple):
        return tuple(map(_described, step))
    if callable(step):
        closed = [cell.cell_contents for cell in getattr(step, "__closure__", None) or ()]
        return (
            getattr(step, "__module__", ""),
            getattr(step, "__qualname__", ""),
            _described(closed),
        )
    return repr(step)


def ours_of_file(path: str) -> Iterator:
    """A fresh task each time: reading and tokenising are part of it."""
    row_format = file_task.RowFormat(label_words=_LABELS)
    tasks.register_file_task({"train": path}, row_format, vocabulary())
    return _ours(tasks.FILE_TASK)


def ours_of_task(name: str) -> Iterator:
    spec = task_table.specs()[name]
    task_table.register(name, None if spec.model == task_spec.BYTES else vocabulary())
    return _ours(name, public_rows.first_split(spec))


def _ours(name: str, split: str = "train") -> Iterator:
    return pipeline.BatchIterator(
        name, _LENGTHS, split, _BATCH, seed=0, num_epochs=1, length_buckets=_BUCKETS
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
    spec = task_table.specs()[name]
    pieces = seqio.SentencePieceVocabulary(bundled.vocabulary_path(), 100)
    task_table.register(name, None if spec.model == task_spec.BYTES else pieces)
    return _seqio(name, public_rows.first_split(spec))


def _seqio(name: str, split: str = "train") -> Iterator:
    converter = seqio.EncDecFeatureConverter(pack=False)
    dataset = seqio.get_dataset(
        name, _LENGTHS, converter, dataset_split=split, shuffle=True, seed=0
    )
    return iter(dataset.batch(_BATCH, drop_remainder=True).prefetch(2).as_numpy_iterator())


def examples_per_cpu_second(make: Callable[[], Iterator]) -> float:
    """One epoch, with everything that comes before its first batch."""
    started, count = time.process_time(), 0
    for _ in make():
        count += _BATCH
    return count / (time.process_time() - started)


def cases(
    folder: str, examples: list[tuple[str, str]], only: str = ""
) -> dict[str, tuple[Callable, Callable]]:
    """{name of a row: (ours, SeqIO's)}, with their data in `folder`."""
    paths = write_files(folder, examples)
    wanted = re.compile(only)
    public = {name: pair for name in pipelines() if wanted.search(name) for pair in [_pair(name)]}
    public_rows.prepare([task_table.specs()[name] for name in public], examples, folder)
    seqio.set_tfds_data_dir_override(folder)
    peer = functools.partial(seqio_of_file, paths["tsv"])
    own = {
        f"own file, {kind}": (functools.partial(ours_of_file, path), peer)
        for kind, path in paths.items()
    }
    return {name: pair for name, pair in own.items() if wanted.search(name)} | public


def _pair(name: str) -> tuple[Callable, Callable]:
    return functools.partial(ours_of_task, name), functools.partial(seqio_of_task, name)


def measure(pair: tuple[Callable, Callable], rounds: int) -> dict[str, Any]:
    """{"ours", "seqio"}: medians of examples per CPU-second; {"not_fed"}: why there are none."""
    try:
        turns = [[examples_per_cpu_second(make) for make in pair] for _ in range(rounds)]
    except ValueError as error:
        return {"not_fed": str(error)}
    ours, theirs = (statistics.median(values) for values in zip(*turns, strict=True))
    return {"ours": ours, "seqio": theirs}


def results(
    rows: int,
    rounds: int,
    only: str = "",
    path: str | None = None,
    seconds: float | None = None,
    folder: str | None = None,
) -> dict[str, dict[str, Any]]:
    """{row: what `measure` gives} of this call and of those before it that wrote to `path`."""
    found: dict[str, dict[str, Any]] = {}
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = {record["row"]: record for record in map(json.loads, file)}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        if folder:
            os.makedirs(folder, exist_ok=True)
        made = cases(folder or temporary, world.classification_examples("train", rows, 0), only)
        for name, pair in made.items():
            if name in found or seconds and time.monotonic() - started > seconds:
                continue
            found[name] = {"row": name, "rounds": rounds, **measure(pair, rounds)}
            if path:
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(found[name]) + "\n")
    return found


def stands_for(names: Sequence[str]) -> str:
    """The other tasks of a pipeline; `(mt5_)` before a name means with and without it."""
    others = []
    for name in names[1:]:
        if name.startswith("mt5_") and name.removeprefix("mt5_") in names:
            continue
        mark = "(mt5_)" if f"mt5_{name}" in names else ""
        others.append(f"`{mark}{name}`")
    first = ["`mt5_` of it"] if f"mt5_{names[0]}" in names else []
    return ", ".join([*first, *others])


def report(found: Mapping[str, Mapping[str, Any]], rows: int) -> str:
    """The page as Markdown."""
    groups = pipelines()
    lines = [
        "<!-- Made by //tests/benchmarks:task_benchmark. -->",
        "",
        "# Throughput of the input pipeline, task by task",
        "",
        f"{platform.machine()}, one core; {rows:,} rows in each dataset, batches of {_BATCH}, lengths "
        f"{_LENGTHS['inputs']} and {_LENGTHS['targets']}, medians of so many turns, examples per "
        "CPU-second with set-up, which weighs most where a slice of few rows is all that a task "
        "has (`_rank_classification_`). `(mt5_)` before a name: the task with and without it. "
        "Mixtures draw from these pipelines and have none of their own.",
        "",
        "| task | examples per CPU-second | SeqIO's own way | ratio | turns | stands also for |",
        "|---|---|---|---|---|---|",
    ]
    order = {name: i for i, name in enumerate(groups)}
    for name in sorted(found, key=lambda row: order.get(row, -1)):
        record, others = found[name], stands_for(groups.get(name, [name]))
        if "not_fed" in record:
            lines.append(f"| `{name}` | not fed: {record['not_fed']} | | | | {others} |")
            continue
        ours, theirs = record["ours"], record["seqio"]
        lines.append(
            f"| `{name}` | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} | {record['rounds']} "
            f"| {others} |"
        )
    measured = [name for name in found if name in groups]
    covered = sum(len(groups[name]) for name in measured)
    total = sum(map(len, groups.values()))
    lines += ["", f"{len(measured)} pipelines of {len(groups)}, {covered} tasks of {total}."]
    if missing := [f"`{name}`" for name in groups if name not in found]:
        lines += ["", f"Not measured: {', '.join(missing)} and what has their pipelines."]
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"got {argv[1:]}; everything is given by flags.")
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    found = results(
        _ROWS.value, _ROUNDS.value, _ONLY.value, _RESULTS.value, _SECONDS.value, _FOLDER.value
    )
    page = report(found, _ROWS.value)
    if _OUTPUT.value is None:
        print(page)
        return
    with open(f"{_OUTPUT.value}.tmp", "w", encoding="utf-8") as file:
        file.write(page)
    os.replace(f"{_OUTPUT.value}.tmp", _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
