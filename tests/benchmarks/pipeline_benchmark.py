# SPDX-License-Identifier: Apache-2.0
"""From a text file to padded batches of model features: our task and the same task with SeqIO's.

    tools/bazel run //tests/benchmarks:pipeline_benchmark -- --model=$PWD/spiece.model \
        --corpus=$PWD/prose.txt

Both read one TSV file (the lines of the corpus, each with a label word), tokenize, append EOS, cut,
pad and batch, and both make the same arrays. Ours is a file task over `data_ops.vocabulary` and
`BatchIterator`; the other is a `seqio.Task` over `seqio.SentencePieceVocabulary`, SeqIO's
preprocessors and `seqio.get_dataset` with its encoder-decoder converter. Examples per CPU-second,
from opening the file to the last batch, taking turns in one process.
"""

import argparse
import itertools
import os
import pathlib
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import seqio
import tensorflow as tf

from data_ops import vocabulary
from prompt_tuning.data import file_task, pipeline, tasks

_LABELS = ("negative", "positive")
_TASK_NAMES = itertools.count()

Batches = Iterator[dict[str, np.ndarray]]


def write_tsv(corpus: str, path: pathlib.Path, max_examples: int) -> int:
    """Lines of `corpus` with a label each; returns how many."""
    count = 0
    with open(corpus, encoding="utf-8") as lines, path.open("w", encoding="utf-8") as tsv:
        tsv.write("text\tlabel\n")
        for line in lines:
            text = line.strip().replace("\t", " ").replace('"', "'")
            if text and count < max_examples:
                tsv.write(f"{text}\t{_LABELS[count % 2]}\n")
                count += 1
    return count


def ours(path: str, model: str, lengths: dict[str, int], batch_size: int) -> Batches:
    """Our task over `path`; nothing is known from an earlier call."""
    row_format = file_task.RowFormat(text_columns=["text"], label_words=_LABELS)
    name = f"pipeline_benchmark_{next(_TASK_NAMES)}"
    model_vocabulary = vocabulary.SentencePieceVocabulary(model)
    tasks.register_file_task({"train": path}, row_format, model_vocabulary, name=name)
    return pipeline.BatchIterator(
        name,
        lengths,
        "train",
        batch_size,
        shuffle=False,
        num_epochs=1,
        drop_remainder=False,
        length_buckets={feature: [length] for feature, length in lengths.items()},
    )


def seqios(path: str, model: str, lengths: dict[str, int], batch_size: int) -> Batches:
    """The same task and nothing of ours."""
    model_vocabulary = seqio.SentencePieceVocabulary(model)
    feature = seqio.Feature(model_vocabulary, add_eos=True)

    def split(line: tf.Tensor) -> dict[str, tf.Tensor]:
        cells = tf.strings.split(line, "\t")
        return {"inputs": cells[0], "targets": cells[1]}

    name = f"pipeline_benchmark_{next(_TASK_NAMES)}"
    seqio.TaskRegistry.add(
        name,
        source=seqio.TextLineDataSource({"train": path}, skip_header_lines=1),
        preprocessors=[
            lambda dataset: dataset.map(split, num_parallel_calls=tf.data.AUTOTUNE),
            seqio.preprocessors.tokenize,
            seqio.preprocessors.append_eos_after_trim,
        ],
        output_features={"inputs": feature, "targets": feature},
    )
    dataset = seqio.get_dataset(
        name,
        lengths,
        seqio.EncDecFeatureConverter(pack=False),
        dataset_split="train",
        shuffle=False,
        num_epochs=1,
    )
    return dataset.batch(batch_size).as_numpy_iterator()


def examples_per_cpu_second(make: Callable[[], Batches], examples: int) -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    before = usage.ru_utime + usage.ru_stime
    rows = sum(len(batch["encoder_input_tokens"]) for batch in make())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    assert rows >= examples, f"{rows} rows of {examples}"
    return examples / (usage.ru_utime + usage.ru_stime - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True, help="a .model file")
    parser.add_argument("--corpus", required=True, help="a file of lines")
    parser.add_argument("--examples", type=int, default=100_000, help="for ours")
    parser.add_argument("--seqio_examples", type=int, default=10_000, help="for SeqIO's")
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--inputs", type=int, default=128, help="tokens of the inputs")
    parser.add_argument("--reps", type=int, default=3)
    arguments = parser.parse_args()
    lengths = {"inputs": arguments.inputs, "targets": 8}
    with tempfile.TemporaryDirectory() as folder:
        rates: dict[str, list[float]] = {"ours": [], "seqio": []}
        makers = {"ours": (ours, arguments.examples), "seqio": (seqios, arguments.seqio_examples)}
        for _ in range(arguments.reps):
            for name, (make, max_examples) in makers.items():
                path = pathlib.Path(folder, f"{name}.tsv")
                count = write_tsv(arguments.corpus, path, max_examples)
                call = lambda make=make, path=path: make(
                    str(path), arguments.model, lengths, arguments.batch_size
                )
                rates[name].append(examples_per_cpu_second(call, count))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    for name, rate in medians.items():
        print(f"{name}: {rate:,.0f} examples per CPU-second")
    print(f"ours is {medians['ours'] / medians['seqio']:.0f} times as fast")


if __name__ == "__main__":
    main()
