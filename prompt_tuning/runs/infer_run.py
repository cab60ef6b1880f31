# SPDX-License-Identifier: Apache-2.0
"""An inference run: T5X's `infer`, over a task of SeqIO or over plain text.

Both are a stream of texts into one `Predictor`. Plain text (`input_file`) imports no TensorFlow.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import jax
import numpy as np

from prompt_tuning.config import checkpoint_config, dataset_config
from prompt_tuning.data import file_task, row_format, row_reader
from prompt_tuning.inference import predictor, writers
from prompt_tuning.runs import compilation_cache, initialization

MODES = ("predict", "score", "predict_with_aux")
STDIN = "-"
_WINDOW = 1024


def infer(
    *,
    mode: str = "predict",
    model: Any,
    dataset_cfg: dataset_config.DatasetConfig | None,
    restore_checkpoint_cfg: checkpoint_config.RestoreCheckpointConfig,
    partitioner: Any = None,
    output_dir: str | None = None,
    checkpoint_period: int = 100,
    shard_id: int = 0,
    num_shards: int = 1,
    summarize_config_fn: Callable[..., None] | None = None,
    fallback_init_rng: int | None = None,
    input_file: str | None = None,
    output_file: str = writers.STDOUT,
    label_words: tuple[str, ...] = (),
) -> int:
    """Answers every example and writes one JSON line for each.

    Args:
      mode: "predict" decodes; "score" gives the log-likelihood of the examples' targets.
      model: `models.EncoderDecoderModel`.
      dataset_cfg: the task and split, and for `input_file` how its columns make a text.
      restore_checkpoint_cfg: the frozen model.
      partitioner: mesh settings; one device is used.
      output_dir: for a task: gets `{task}-{mode}.jsonl-00000-of-00001` and its `.COMPLETED` mark.
      checkpoint_period: accepted for T5X's files; the file appears when it is complete.
      shard_id: which part of a task's examples to take.
      num_shards: of how many.
      summarize_config_fn: called as `(output_dir)`.
      fallback_init_rng: seed of parameters that the checkpoint lacks; None is 0.
      input_file: lines of text, TSV, CSV or JSONL; "-" reads lines from standard input. Used instead
        of the task.
      output_file: for `input_file`; "-" is standard output.
      label_words: rank these instead of decoding.

    Returns:
      How many examples were answered.

    Raises:
      ValueError, FileNotFoundError: a setting, a file or a checkpoint is not usable.
    """
    del partitioner, checkpoint_period
    if mode not in MODES:
        raise ValueError(f"infer.mode is {mode!r}; accepted are {', '.join(MODES)}.")
    compilation_cache.enable()
    if input_file is None and output_file != writers.STDOUT:
        raise ValueError(
            f"the output file {output_file} is for the answers to an input file; set --input_file, "
            "or --output_dir for those to a task."
        )
    texts = None if input_file is None else _texts_of_file(input_file, dataset_cfg)
    first = None if texts is None else next(texts, None)  # A bad file ends the run before it loads.
    answer = _Answers(model, dataset_cfg, restore_checkpoint_cfg, fallback_init_rng, label_words)
    if texts is not None:
        rows = [] if first is None else itertools.chain([first], texts)
        with writers.open_jsonl(output_file) as writer:
            return answer.write(({"inputs_pretokenized": text} for text in rows), mode, writer)
    os.makedirs(output_dir, exist_ok=True)
    if summarize_config_fn is not None:
        summarize_config_fn(output_dir)
    name = f"{dataset_cfg.mixture_or_task_name}-{mode}.jsonl-{shard_id:05}-of-{num_shards:05}"
    path = os.path.join(output_dir, name)
    with writers.open_jsonl(path) as writer:
        examples = _examples_of_task(dataset_cfg, model.input_vocabulary)
        count = answer.write(itertools.islice(examples, shard_id, None, num_shards), mode, writer)
    with open(path + ".COMPLETED", "w", encoding="utf-8"):
        pass
    print(f"wrote {count} predictions to {path}", file=sys.stderr)
    return count


class _Answers:
    """The predictor, and what is done with its answers."""

    def __init__(self, model, config, restore, seed, label_words):
        shape = {name: (1, 8) for name in ("encoder_input_tokens", "decoder_input_tokens")}
        initial = initialization.initial_parameters(
            model, shape, jax.random.PRNGKey(seed or 0), restore
        )
        lengths = (config.task_feature_lengths if config else None) or {}
        files = config.file_task if config else None
        self.label_words = tuple(label_words or (files.label_words if files else ()))
        self.predictor = predictor.Predictor(
            model,
            initial.params,
            model.input_vocabulary,
            inputs_length=lengths.get("inputs", 512),
            targets_length=lengths.get("targets", 64),
            batch_size=config.batch_size if config else 32,
            add_inputs_eos=_ends_with_eos(config),
            window=_WINDOW,
        )

    def write(
        self, examples: Iterable[Mapping[str, str]], mode: str, writer: writers.JsonlWriter
    ) -> int:
        """Writes one record for each example, in order; returns their number."""
        kept, asked = itertools.tee(examples)
        texts = (example["inputs_pretokenized"] for example in asked)
        count, started = 0, time.monotonic()
        if mode == "score":
            records = self._scores(kept)
        elif self.label_words:
            scored = self.predictor.score_labels_stream(texts, self.label_words)
            records = (
                writers.label_record(example, self.label_words, scores)
                for example, scores in zip(kept, scored, strict=True)
            )
        else:
            records = (
                writers.prediction_record(example, prediction)
                for example, prediction in zip(
                    kept, self.predictor.predict_stream(texts), strict=True
                )
            )
        for record in records:
            writer.write(record)
            count += 1
        seconds = time.monotonic() - started
        print(f"{count} examples in {seconds:.1f} s", file=sys.stderr)
        return count

    def _scores(self, examples: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
        """The log-likelihood of each example's own target."""
        for example in examples:
            if "targets_pretokenized" not in example:
                raise ValueError(
                    "mode 'score' needs examples with a target; give a --label_column."
                )
            scores = self.predictor.score_labels(
                [example["inputs_pretokenized"]], [example["targets_pretokenized"]]
            )
            yield {"inputs": dict(example), "score": float(np.asarray(scores)[0, 0])}


def _ends_with_eos(config: dataset_config.DatasetConfig | None) -> bool:
    return config.file_task.add_inputs_eos if config and config.file_task else True


def _texts_of_file(path: str, config: dataset_config.DatasetConfig | None) -> Iterator[str]:
    """Texts of a file, or of standard input for "-"; lines unless the name says otherwise."""
    if path == STDIN:
        yield from _lines(sys.stdin.buffer, "standard input")
        return
    if not os.path.isfile(path) and not row_reader.has_rows(path):
        raise FileNotFoundError(f"there is no input file {path}: --input_file.")
    if not row_reader.has_rows(path):
        with open(path, "rb") as stream:
            yield from _lines(stream, path)
        return
    files = config.file_task if config else None
    columns = row_format.RowFormat(
        text_columns=files.text_columns if files else (),
        label_column=None,
        input_template=files.input_template if files else None,
        skip_bad_rows=files.skip_bad_rows if files else False,
    )
    for example in file_task.ExampleReader(path, columns):
        yield example.text


def _lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """Lines of UTF-8 text without their ends; a byte order mark is dropped."""
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name}:{number}: byte {error.start} of the line is not UTF-8 text; save it as "
                "UTF-8: --input_file."
            ) from None
        yield text.rstrip("\r\n")


def _examples_of_task(config, vocabulary) -> Iterator[dict[str, str]]:
    """The `*_pretokenized` fields of a task's examples, in the task's order."""
    from prompt_tuning.data import tasks  # Brings TensorFlow, which plain text does without.

    task = tasks.from_config(config, vocabulary)
    dataset = task.get_dataset(config.task_feature_lengths, config.split, shuffle=False)
    for example in dataset.as_numpy_iterator():
        yield {
            name: value.decode("utf-8")
            for name, value in example.items()
            if name.endswith("_pretokenized") and isinstance(value, bytes)
        }
