# SPDX-License-Identifier: Apache-2.0
"""Several prompts on several tasks: one frozen model, an evaluation of every pair, one table.

The frozen model is read once, each task once, and a prompt of the same length costs no compilation.
"""

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import rich.table

from prompt_tuning.checkpoints import prompt_files
from prompt_tuning.config import dataset_config
from prompt_tuning.partitioning import partitioner, processes
from prompt_tuning.runs import evaluation

NO_PROMPT = "no prompt"

# Column title -> figure.
_COLUMNS = (("accuracy", "accuracy"), ("AUC", "auc"), ("exact match", "exact_match"))


@dataclasses.dataclass(frozen=True)
class Result:
    """What one prompt is worth on one task.

    Attributes:
      task: name.
      prompt: path as given, or `NO_PROMPT`.
      figures: of `SplitEvaluator.figures`.
      metrics: the task's own, by name.
    """

    task: str
    prompt: str
    figures: Mapping[str, float]
    metrics: Mapping[str, float]


def read_prompts(paths: Sequence[str], width: int) -> dict[str, np.ndarray]:
    """{path: float32 [P, width]}.

    Raises:
      FileNotFoundError: there is no such prompt.
      ValueError: it is none, or for a model of another width, or named twice.
    """
    if len(set(paths)) != len(paths):
        raise ValueError(f"the prompts {', '.join(paths)} name one twice: --prompts (PROMPTS).")
    prompts = {path: prompt_files.read_prompt(path) for path in paths}
    for path, prompt in prompts.items():
        if prompt.shape[1] != width:
            raise ValueError(
                f"the prompt {path} has shape {prompt.shape}, and the model's width is {width}; "
                "it is for another model: --prompts (PROMPTS)."
            )
    return prompts


def folder_names(paths: Sequence[str]) -> dict[str, str]:
    """{path: a short name for its results}: the last part of a path, or all of it where needed."""
    last = {path: os.path.basename(path.rstrip("/")).removesuffix(".npy") for path in paths}
    if len(set(last.values())) < len(paths):
        last = {path: path.strip("/") for path in paths}
    return {path: re.sub(r"[^\w.-]+", "_", name) for path, name in last.items()}


def results(
    model: Any,
    params: Mapping[str, Any],
    step: int,
    config: dataset_config.DatasetConfig,
    tasks: Sequence[str],
    prompts: Mapping[str, np.ndarray],
    output_dir: str,
    *,
    without_prompt: bool = True,
    part: partitioner.Partitioner | None = None,
) -> Iterator[Result]:
    """Evaluates every prompt on every task, task by task.

    Args:
      model: whose encoder takes a `prompt`.
      params: flat; the frozen model.
      step: of the model, for the files.
      config: split, lengths and batch size.
      tasks: names.
      prompts: {path: [P, H]}.
      output_dir: gets a folder for each prompt, with upstream's `inference_eval`.
      without_prompt: the frozen model alone, too.
      part: where parameters and batches lie; None is one device.
    """
    names = folder_names(list(prompts))
    for task in tasks:
        one = dataclasses.replace(config, mixture_or_task_name=task)
        evaluator = evaluation.SplitEvaluator(
            model, one, model.input_vocabulary, output_dir=output_dir, part=part
        )
        extras: dict[str, Mapping[str, Any]] = {
            path: {"prompt": prompt} for path, prompt in prompts.items()
        }
        if without_prompt:
            extras[NO_PROMPT] = evaluation.no_prompt(model)
        for path, extra in extras.items():
            if processes.leads():
                evaluator.write_to(os.path.join(output_dir, names.get(path, "no_prompt")))
            figures = evaluator.figures(params, step, extra)
            yield Result(task, path, figures, evaluator.task_metrics)


def table(found: Sequence[Result], split: str) -> rich.table.Table:
    """A row for each task and prompt, with the tasks' own metrics beside the figures."""
    shown = [(title, name) for title, name in _COLUMNS if any(name in r.figures for r in found)]
    others = list(dict.fromkeys(name for r in found for name in evaluation.own_metrics(r.metrics)))
    made = rich.table.Table(title=f"split {split}")
    # Names go on in the next line: cut off, those of tasks that differ in their ends look alike.
    made.add_column("task", overflow="fold")
    made.add_column("prompt", overflow="fold")
    for title in [title for title, _ in shown] + others:
        made.add_column(title, justify="right", overflow="fold")
    for result in found:
        cells = [_cell(result.figures.get(name)) for _, name in shown]
        cells += [_cell(result.metrics.get(name)) for name in others]
        made.add_row(result.task, result.prompt, *cells)
    return made


def records(found: Sequence[Result]) -> list[dict[str, Any]]:
    """The results for `summary.json`."""
    return [
        {"task": r.task, "prompt": r.prompt, **r.figures, "metrics": dict(r.metrics)} for r in found
    ]


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
