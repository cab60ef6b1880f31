# SPDX-License-Identifier: Apache-2.0
"""The rows of an inference run over a task of SeqIO: its own tokens, as T5X's `infer` reads them.

Brings TensorFlow.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from prompt_tuning.config import dataset_config
from prompt_tuning.data import cached_task, tasks
from prompt_tuning.inference import answers, requests

_SUFFIX = "_pretokenized"


def of_tasks(
    config: dataset_config.DatasetConfig, vocabulary: Any, with_targets: bool
) -> dict[str, Iterator[answers.InputRow]]:
    """The rows of a task, or of each task of a mixture that has the split, by the task's name.

    Args:
      config: Task, split and lengths.
      vocabulary: The model's; the tasks' tokens must be of it.
      with_targets: The rows' targets become those of their requests.

    Raises:
      ValueError: There is no such task or split, a feature that is needed is not there or no
        sequence of tokens, or the tokens are of another vocabulary.
      FileNotFoundError: A dataset or a cache is not there.
    """
    named = tasks.from_config(config, vocabulary)
    if config.use_cached:
        cached_task.check(named, config.split)
    members = tasks.members(named)
    having = [task for task in members if config.split in task.splits]
    if not having:
        splits = sorted({split for task in members for split in task.splits})
        raise ValueError(
            f"the task {config.mixture_or_task_name!r} has no split {config.split!r}; it has "
            f"{', '.join(splits)}: --split (utils.DatasetConfig.split)."
        )
    for task in having:
        _check(task, vocabulary, with_targets)
    return {task.name: _rows(task, config, with_targets) for task in having}


def _check(task: Any, vocabulary: Any, with_targets: bool) -> None:
    for name in ("inputs", "targets") if with_targets else ("inputs",):
        feature = task.output_features.get(name)
        if feature is None or feature.rank != 1:
            raise ValueError(
                f"the task {task.name!r} has no sequence of tokens {name!r}, which the model reads; "
                f"it has {', '.join(task.output_features)}: choose another --task."
            )
        if vocabulary != feature.vocabulary:  # In this order: SeqIO's knows its own kind alone.
            raise ValueError(
                f"the {name} of the task {task.name!r} are tokens of {feature.vocabulary}, and the "
                f"model's are of {vocabulary}; register the task with the model's vocabulary, or "
                "choose another --vocabulary."
            )


def _rows(
    task: Any, config: dataset_config.DatasetConfig, with_targets: bool
) -> Iterator[answers.InputRow]:
    dataset = task.get_dataset(
        config.task_feature_lengths,
        config.split,
        use_cached=config.use_cached,
        shuffle=False,
        seed=config.seed,
        num_epochs=1,
    )
    for example in dataset.as_numpy_iterator():
        fields = {k: _json(value) for k, value in example.items() if k.endswith(_SUFFIX)}
        target = _ids(example["targets"]) if with_targets else None
        text = str(fields.get("inputs" + _SUFFIX, ""))
        request = requests.Request(text, tokens=_ids(example["inputs"]), target_tokens=target)
        yield answers.InputRow(fields, request)


def _ids(tokens: np.ndarray) -> tuple[int, ...]:
    return tuple(tokens.tolist())


def _json(value: Any) -> Any:
    """A feature as JSON has it: bytes become text, arrays lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray | np.generic):
        return _json(value.tolist())
    return [_json(item) for item in value] if isinstance(value, list) else value
