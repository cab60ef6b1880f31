# SPDX-License-Identifier: Apache-2.0
"""An inference run: T5X's `infer`, over a task of SeqIO or over plain text.

Both are a stream of rows into one `Predictor`, and a record for each row. Plain text (`input_file`)
imports no TensorFlow. What goes to a file may be interrupted: the same call goes on where it was.
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from prompt_tuning.config import checkpoint_config, dataset_config
from prompt_tuning.data import row_reader
from prompt_tuning.inference import answers, writers
from prompt_tuning.runs import (
    answer_output,
    answer_settings,
    compilation_cache,
    devices,
    input_rows,
    live_input,
    loaded_predictor,
    preparation,
)


def infer(
    *,
    mode: str = answers.PREDICT,
    model: Any,
    dataset_cfg: dataset_config.DatasetConfig | None,
    restore_checkpoint_cfg: checkpoint_config.RestoreCheckpointConfig,
    partitioner: Any = None,
    output_dir: str | None = None,
    checkpoint_period: int = 100,
    shard_id: int = 0,
    num_shards: int = 1,
    summarize_config_fn: Callable[..., None] | None = None,
    merge_chunked_results: bool = True,
    checkpoint_ds_iter: bool = True,
    fallback_init_rng: int | None = None,
    input_file: str | None = None,
    output_file: str = writers.STDOUT,
    label_words: tuple[str, ...] = (),
    settings: answer_settings.AnswerSettings | None = None,
    prompt_file: str | None = None,
) -> int:
    """Answers every example and writes one JSON line for each.

    Args:
      mode: "predict" decodes; "score" gives the log-likelihood of the examples' targets;
        "predict_with_aux" decodes and adds T5X's `aux`.
      model: `models.EncoderDecoderModel`.
      dataset_cfg: the task and split, and for `input_file` how its columns make a text.
      restore_checkpoint_cfg: the frozen model.
      partitioner: `config.partitioning.PjitPartitioner`: how model and batches lie on the devices of
        this one process.
      output_dir: for a task: gets `{task}-{mode}.jsonl-00000-of-00001` and its `.COMPLETED` mark;
        for a mixture, those of each of its tasks.
      checkpoint_period: batches after which the answers so far survive a loss of power.
      shard_id: which part of the rows to take: every `num_shards`-th, from this one.
      num_shards: of how many.
      summarize_config_fn: called as `(output_dir)`, by the first shard alone.
      merge_chunked_results: True; a shard is one file from the beginning.
      checkpoint_ds_iter: without effect: where a run goes on is the number of its answers.
      fallback_init_rng: seed of parameters that the checkpoint lacks; None is 0.
      input_file: lines of text, TSV, CSV or JSONL; "-" is standard input. Used instead of the task.
      output_file: for `input_file`; "-" is standard output.
      label_words: rank these instead of decoding.
      settings: prompts by name, labels of a file, search and sampling.
      prompt_file: where the prompt's initializer reads it; an artifact is checked.

    Returns:
      How many examples were answered by this call.

    Raises:
      ValueError, FileNotFoundError: a setting, a file or a checkpoint is not usable.
    """
    compilation_cache.enable()
    devices.check()
    del checkpoint_ds_iter
    _check_process(merge_chunked_results)
    settings = settings or answer_settings.AnswerSettings()
    _check(input_file, output_file, shard_id, num_shards)
    folder = None if input_file is not None else _folder(output_dir)  # Before anything is loaded.
    manner = _manner(mode, label_words, dataset_cfg, settings)
    with_targets = mode == answers.SCORE
    sources, live = _sources(input_file, dataset_cfg, model, settings, with_targets)
    part = preparation.prepare(
        model, restore_checkpoint_cfg, partitioner, prompt_file=prompt_file
    ).part
    loaded = loaded_predictor.load(
        model,
        dataset_cfg,
        restore_checkpoint_cfg,
        fallback_init_rng or 0,
        settings,
        input_file is not None,
        part,
        prompt_file,
    )
    outputs = {
        name: answer_output.AnswerOutput(
            loaded.predictor, manner, itertools.islice(rows, shard_id, None, num_shards), live
        )
        for name, rows in sources.items()
    }
    identity = loaded.identity | dataclasses.asdict(manner) | {"shard": [shard_id, num_shards]}
    sync_every = checkpoint_period * loaded.batch_size
    if folder is None:
        (output,) = outputs.values()
        if output_file == writers.STDOUT:
            return output.write_stdout()
        return output.write_file(output_file, identity | {"rows": input_file}, sync_every)
    os.makedirs(folder, exist_ok=True)
    if summarize_config_fn is not None and not shard_id:
        summarize_config_fn(folder)
    identity["split"] = _version(_task(dataset_cfg))
    ending = f"-{mode}.jsonl-{shard_id:05}-of-{num_shards:05}"
    return sum(
        output.write_shard(
            os.path.join(folder, name + ending), identity | {"task": name}, sync_every
        )
        for name, output in outputs.items()
    )


def _check_process(merge_chunked_results: bool) -> None:
    if jax.process_count() > 1:
        raise ValueError(
            f"infer runs in one process, on all of its devices, and this is one of "
            f"{jax.process_count()}; start each by itself with a part of the rows: --shard_id, "
            "--num_shards."
        )
    if not merge_chunked_results:
        raise ValueError(
            "infer.merge_chunked_results is False, and only True is supported: a shard is one file "
            "from the beginning. Remove the binding."
        )


def _check(input_file: str | None, output_file: str, shard_id: int, num_shards: int) -> None:
    if input_file is None and output_file != writers.STDOUT:
        raise ValueError(
            f"the output file {output_file} is for the answers to an input file; set --input_file, "
            "or --output_dir for those to a task."
        )
    if input_file is not None and output_file != writers.STDOUT:
        _check_output_file(input_file, output_file)
    if not 0 <= shard_id < num_shards:
        raise ValueError(
            f"the shard is {shard_id} of {num_shards}; accepted are 0 to {num_shards - 1}: "
            "--shard_id, --num_shards."
        )


def _check_output_file(input_file: str, path: str) -> None:
    """Refuses what a complete file of answers must not take the place of, before a model is read."""
    if not os.path.lexists(path):
        above = os.path.dirname(os.path.abspath(path))
        while not os.path.lexists(above):  # Missing folders are made.
            above = os.path.dirname(above)
        if not (os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK)):
            raise ValueError(
                f"{path} cannot be made, because {above} is no folder that can be written to; name "
                "another file: --output_file (OUTPUT_FILE)."
            )
        return
    # Links there, such as /dev/stdout, are what they stand for to whoever opens them only.
    if not os.path.isfile(path) or os.path.dirname(os.path.abspath(path)) in ("/dev", "/dev/fd"):
        raise ValueError(
            f"{path} is no file, and the answers end in one that takes its place; name a file, or - "
            "for standard output: --output_file (OUTPUT_FILE)."
        )
    if os.path.exists(input_file) and os.path.samefile(input_file, path):
        raise ValueError(
            f"the answers would take the place of their input {input_file}; name another file: "
            "--output_file (OUTPUT_FILE)."
        )


def _task(config: dataset_config.DatasetConfig | None) -> dataset_config.DatasetConfig:
    """What is answered where no file is."""
    if config is None:
        raise ValueError(
            "there is nothing to answer: set --input_file, or infer.dataset_cfg to a "
            "utils.DatasetConfig with a task."
        )
    return config


def _folder(output_dir: str | None) -> str:
    """Where the answers to a task go."""
    if not output_dir:
        raise ValueError("the answers to a task go to a folder; set --output_dir.")
    return output_dir


def _manner(
    mode: str,
    label_words: tuple[str, ...],
    config: dataset_config.DatasetConfig | None,
    settings: answer_settings.AnswerSettings,
) -> answers.Manner:
    files = config.file_task if config else None
    labels = tuple(label_words or (files.label_words if files else ()))
    if settings.label_file is not None:
        labels = _read_labels(settings.label_file)
    ensemble = tuple(settings.prompt_paths) if settings.ensemble else ()
    per_token = bool(labels and files and files.label_scores_per_token)
    manner = answers.Manner(mode, labels, per_token, settings.label_file is not None, ensemble)
    if settings.decoding_flags and (labels or mode == answers.SCORE):
        raise ValueError(
            f"{settings.decoding_flags[0]} is about decoding, and here "
            f"{'labels are ranked' if labels else 'given targets are scored'}; leave out "
            f"{settings.decoding_flags[0]}, or "
            f"{'--label_words and --label_file' if labels else 'mode score'}."
        )
    return manner


def _read_labels(path: str) -> tuple[str, ...]:
    """The lines of a file that are not blank."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file of labels {path}: --label_file.")
    with open(path, encoding="utf-8") as lines:
        labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        raise ValueError(f"{path} has no label; write one on each line: --label_file.")
    return labels


def _sources(
    input_file: str | None,
    config: dataset_config.DatasetConfig | None,
    model: Any,
    settings: answer_settings.AnswerSettings,
    with_targets: bool,
) -> tuple[Mapping[str, Iterator[answers.InputRow]], live_input.LiveInput | None]:
    """The rows by the name of the file or task, and the lines they are made from if those are live."""
    if input_file is not None:
        rows, live = _rows(input_file, config, settings, with_targets)
        return {input_file: rows}, live
    task = _task(config)
    _check_nameless(f"the examples of the task {task.mixture_or_task_name!r}", settings)
    from prompt_tuning.runs import task_rows  # Brings TensorFlow, which plain text does without.

    return task_rows.of_tasks(task, model.input_vocabulary, with_targets), None


def _rows(
    input_file: str,
    config: dataset_config.DatasetConfig | None,
    settings: answer_settings.AnswerSettings,
    with_targets: bool,
) -> tuple[Iterator[answers.InputRow], live_input.LiveInput | None]:
    """The rows, and the lines they are made from if those come from a pipe or a person."""
    files = config.file_task if config else None
    live = live_input.LiveInput(sys.stdin.buffer) if input_file == input_rows.STDIN else None
    kind = settings.input_format
    if kind is None and live is not None:
        kind = input_rows.sniffed(live.peek_line(row_reader.MAX_ROW_BYTES), files)
    if kind is None and not input_rows.is_table(input_file):
        kind = input_rows.LINES
    if kind != input_rows.LINES:
        table = input_rows.of_table(
            input_file, files, settings.prompt_column, with_targets, kind, live
        )
        # The first row is read now: a file of another kind ends the run before it loads.
        first = next(table, None)
        return itertools.chain([] if first is None else [first], table), live
    if with_targets:
        raise ValueError(
            "mode 'score' needs rows with a target; give TSV, CSV or JSONL rows, with their "
            "--label_column (--input_file, --input_format)."
        )
    if settings.prompt_column is not None:
        raise ValueError(
            f"lines of text have no column {settings.prompt_column!r} of prompts; give TSV, CSV or "
            "JSONL rows, perhaps with --input_format (INPUT_FORMAT), or leave out --prompt_column."
        )
    _check_nameless("lines of text", settings)
    return (input_rows.of_lines(live) if live else _lines_of_file(input_file)), live


def _lines_of_file(path: str) -> Iterator[answers.InputRow]:
    with row_reader.open_bytes(path) as lines:
        yield from input_rows.of_lines(lines)


def _check_nameless(rows: str, settings: answer_settings.AnswerSettings) -> None:
    """Refuses several prompts where no row can name one."""
    paths = settings.prompt_paths
    if paths and settings.prompt_of_the_nameless is None and not settings.ensemble:
        raise ValueError(
            f"{rows} name none of the prompts {', '.join(paths)}; give TSV, CSV or JSONL rows with "
            "a column of names (--input_file), --default_prompt=NAME, or --ensemble."
        )


def _version(config: dataset_config.DatasetConfig) -> list:
    """What says that the rows of a task are the same ones."""
    path = config.file_task.files.get(config.split) if config.file_task else None
    state = os.stat(path) if path and os.path.exists(path) else None
    return [config.split, *([path, state.st_size, state.st_mtime_ns] if state else [])]
