# SPDX-License-Identifier: Apache-2.0
"""What a training run would train on, as text. `//prompt_tuning:show_task` prints it."""

from collections.abc import Mapping
from typing import Any

from prompt_tuning.data import task_report, tasks, token_rows


def report(
    settings: Mapping[str, Any],
    *,
    split: str | None = None,
    num_examples: int = 3,
    max_examples: int | None = None,
) -> str:
    """Figures, lengths and first examples of a split.

    Args:
      settings: the arguments of `train`.
      split: default: that of the training examples.
      num_examples: how many to print.
      max_examples: how many to measure; None: all.

    Raises:
      ValueError, FileNotFoundError: as the run itself, of its data.
    """
    config = settings["train_dataset_cfg"]
    task = tasks.from_config(config, settings["model"].input_vocabulary)
    limits = config.task_feature_lengths
    found, examples = task_report.of_any_task(
        task,
        split or config.split,
        limits,
        max_examples,
        shown=num_examples,
        use_cached=config.use_cached,
    )
    parts = [found.text()]
    for name in token_rows.TASK_FEATURES:
        parts += ["", f"tokens of {name}", found.histogram(name)]
    for number, example in enumerate(examples, start=1):
        parts += ["", f"example {number}", task_report.shown_example(task, example, limits)]
    return "\n".join(parts)
