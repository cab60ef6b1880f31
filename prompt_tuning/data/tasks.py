# SPDX-License-Identifier: Apache-2.0
"""The SeqIO tasks of this project: the bundled demonstration, public datasets, the user's files.

Registers nothing at import: a task enters SeqIO's registry when a run asks for it. The tasks of
`task_table` need no module; those of foreign modules are found by importing it, as T5X does. Knows
no batches and no model.
"""

import functools
import importlib
import os
from collections.abc import Mapping
from typing import Any

import seqio

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.bundled import bundled, world
from prompt_tuning.config import dataset_config
from prompt_tuning.data import (
    arrow_reader,
    file_task,
    metrics,
    postprocessors,
    task_names,
    task_table,
    text_source,
)

DEMO_TASK = task_names.DEMO_TASK
FILE_TASK = dataset_config.FILE_TASK_NAME

# Examples and seed of each split of the demonstration.
DEMO_SPLITS = {"train": (2000, 0), "validation": (500, 1), "test": (1000, 2)}
DEMO_LABELS = ("negative", "positive")


def register_demo_task(
    vocabulary: SentencePieceVocabulary | None = None, add_inputs_eos: bool = False
) -> seqio.Task:
    """Registers `bundled_reviews`: the polarity of synthetic reviews.

    The opinion words of the test split occur in neither of the other splits.

    Args:
      vocabulary: default: the bundled model's.
      add_inputs_eos: end the inputs with EOS; the bundled model was pre-trained without.
    """
    if vocabulary is None:
        vocabulary = SentencePieceVocabulary(bundled.vocabulary_path(), bundled.EXTRA_IDS)

    def load(split: str) -> file_task.Examples:
        size, seed = DEMO_SPLITS[split]
        inputs, targets = zip(*world.classification_examples(split, size, seed), strict=True)
        return file_task.Examples(list(inputs), list(targets))

    source = text_source.TextSource(load, DEMO_SPLITS, vocabulary, DEMO_LABELS)
    return register_text_task(DEMO_TASK, source, vocabulary, add_inputs_eos)


def register_file_task(
    files: Mapping[str, str | None],
    row_format: file_task.RowFormat,
    vocabulary: SentencePieceVocabulary,
    add_inputs_eos: bool = True,
    name: str = FILE_TASK,
) -> seqio.Task:
    """Registers a task over the user's files; a file is read when its split is first used.

    Args:
      files: path of each split; splits without a path are left out. A folder of several splits
        stands for the one of the same name.
      row_format: what the columns mean.
      vocabulary: of the model.
      add_inputs_eos: end the inputs with EOS, as T5's tasks do.
      name: of the task.

    Raises:
      ValueError: no split has a file.
    """
    paths = {s: arrow_reader.split_folder(path, s) for s, path in files.items() if path}
    if not paths:
        raise ValueError(
            f"the task {name!r} has no file; set --train_file, --validation_file or --test_file."
        )
    source = text_source.TextSource(
        lambda split: file_task.ExampleReader(paths[split], row_format),
        paths,
        vocabulary,
        row_format.label_words,
    )
    return register_text_task(name, source, vocabulary, add_inputs_eos)


def register_text_task(
    name: str,
    source: text_source.TextSource,
    vocabulary: SentencePieceVocabulary,
    add_inputs_eos: bool,
) -> seqio.Task:
    """Registers a task over `source` under `name`, in place of an earlier one of that name.

    With label words the metric compares label ids (-1 for any other text), else texts.
    """
    seqio_vocabulary = vocabulary.as_seqio() if hasattr(vocabulary, "as_seqio") else vocabulary
    postprocess_fn = None
    if source.label_words:
        postprocess_fn = functools.partial(
            postprocessors.string_label_to_class_id, label_classes=source.label_words
        )
    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=source,
        output_features={
            "inputs": seqio.Feature(seqio_vocabulary, add_eos=add_inputs_eos),
            "targets": seqio.Feature(seqio_vocabulary, add_eos=True),
        },
        preprocessors=[seqio.preprocessors.append_eos_after_trim],
        postprocess_fn=postprocess_fn,
        metric_fns=[metrics.accuracy],
    )


def ensure_registered(
    name: str, module: str | None = None, vocabulary: SentencePieceVocabulary | None = None
) -> seqio.Task | seqio.Mixture:
    """The task or mixture `name`, registered first if it is one of this project's.

    Args:
      name: of the task.
      module: imported before (MIXTURE_OR_TASK_MODULE). None of this project's tasks needs one.
      vocabulary: the model's, for the tasks of `task_table`; None keeps the one with which the
        task was registered before, or takes the published one of T5, mT5 or ByT5.

    Raises:
      ValueError: the module does not exist, or there is no such task; names the nearest ones.
    """
    if module:
        _import_tasks(module)
    if name in task_table.specs():
        task_table.register(name, vocabulary)
    elif name == DEMO_TASK and name not in seqio.TaskRegistry.names():
        register_demo_task()
    if not task_table.is_registered(name):
        raise task_names.unknown(name, known_task_names())
    return seqio.get_mixture_or_task(name)


def known_task_names() -> list[str]:
    """All names that `ensure_registered` can find without a module, sorted."""
    registered = {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
    return sorted({DEMO_TASK, *task_table.specs()} | registered)


def from_config(
    config: dataset_config.DatasetConfig, vocabulary: SentencePieceVocabulary | None = None
) -> seqio.Task | seqio.Mixture:
    """The task of a `DatasetConfig`, registered if it is one of this project's.

    Args:
      config: of a run.
      vocabulary: the model's, which tokenises the user's files and the public datasets; tasks of
        foreign modules have their own.

    Raises:
      ValueError: as `ensure_registered`; or there are files and no vocabulary.
    """
    files = config.file_task
    if files is None or config.mixture_or_task_name != FILE_TASK:
        return ensure_registered(config.mixture_or_task_name, config.module, vocabulary)
    if vocabulary is None:
        raise ValueError(f"the task {FILE_TASK!r} needs the model's vocabulary; set --vocabulary.")
    return _user_task(files, vocabulary)


def members(task: seqio.Task | seqio.Mixture) -> list[seqio.Task]:
    """The tasks of a mixture, those of its mixtures too; of a task, itself."""
    return seqio.get_subtasks(task)


# What the task over the user's files was registered for, and the task.
_user_tasks: dict[str, tuple[Any, seqio.Task]] = {}


def _user_task(files: dataset_config.FileTask, vocabulary: SentencePieceVocabulary) -> seqio.Task:
    """The task over the user's files, registered anew only for other files, settings or contents.

    So the rows of a split are read and tokenised once in a run, and its bad rows told once.
    """
    key = (files, vocabulary, tuple(map(_state, files.files.values())))
    if FILE_TASK in _user_tasks and FILE_TASK in seqio.TaskRegistry.names():
        earlier, task = _user_tasks[FILE_TASK]
        if earlier == key and seqio.TaskRegistry.get(FILE_TASK) is task:
            return task
    row_format = file_task.row_format(files)
    task = register_file_task(files.files, row_format, vocabulary, files.add_inputs_eos)
    _user_tasks[FILE_TASK] = key, task
    return task


def _state(path: str | None) -> tuple[int, int] | None:
    """What changes when a file does; None where there is none."""
    if not path or not os.path.exists(path):
        return None
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size


def label_words(task: seqio.Task) -> tuple[str, ...]:
    """The candidate answers of a task of this project, in label id order; () for any other."""
    return getattr(task.source, "label_words", ())


def _import_tasks(module: str) -> None:
    try:
        importlib.import_module(task_names.module_here(module))
    except ModuleNotFoundError as error:
        raise task_names.unknown_module(module, error.name) from None
