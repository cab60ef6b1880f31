# SPDX-License-Identifier: Apache-2.0
"""An evaluation run: T5X's `evaluate`, checkpoints with one prompt on one split.

The prompt comes from its initializer (`prompts/from_file.gin`) or from the checkpoint itself. One
checkpoint is the rule; the mode "all" evaluates those of a model directory one after the other.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax

from prompt_tuning.config import checkpoint_config, dataset_config
from prompt_tuning.data import task_names
from prompt_tuning.partitioning import processes
from prompt_tuning.runs import (
    artifact_checks,
    comparison,
    compilation_cache,
    early_checks,
    evaluation,
    initialization,
    preparation,
    restore_paths,
    summary,
)


def evaluate(
    *,
    model: Any,
    dataset_cfg: dataset_config.DatasetConfig,
    restore_checkpoint_cfg: checkpoint_config.RestoreCheckpointConfig,
    partitioner: Any = None,
    output_dir: str,
    inference_evaluator_cls: Any = None,
    summarize_config_fn: Callable[..., None] | None = None,
    fallback_init_rng: int | None = None,
    without_prompt: bool = True,
    prompt_file: str | None = None,
    prompts: Sequence[str] = (),
    tasks: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluates checkpoints on a task, prints a table for each, writes upstream's files.

    Args:
      model: `models.EncoderDecoderModel`.
      dataset_cfg: the task and split.
      restore_checkpoint_cfg: the frozen model. With the mode "all", checkpoints that
        `eval.{task}.ckpt` lists already are passed over, so a stopped evaluation goes on.
      partitioner: `config.partitioning.PjitPartitioner`: how model and batches lie on the devices.
      output_dir: gets `inference_eval/`, `eval.{task}.ckpt`, `config.gin` and `summary.json`.
      inference_evaluator_cls: `seqio.Evaluator` of gin files: how much is evaluated and written.
      summarize_config_fn: called as `(output_dir)`.
      fallback_init_rng: seed of parameters that the checkpoint lacks; None is 0.
      without_prompt: evaluate the frozen model alone, too.
      prompt_file: where the prompt's initializer reads it; an artifact is checked.
      prompts: several prompts, each as `prompt_files.read_prompt` takes it; with `tasks` every pair
        is evaluated on the one checkpoint, and stands in one table and in `summary.json`.
      tasks: several tasks instead of that of `dataset_cfg`.

    Returns:
      The figures of `summary.json`: those of the last checkpoint.

    Raises:
      ValueError, FileNotFoundError: a setting, a file or a checkpoint is not usable.
    """
    started, seed = time.monotonic(), fallback_init_rng or 0
    compilation_cache.enable()
    early_checks.check_split(dataset_cfg)
    part = preparation.prepare(
        model, restore_checkpoint_cfg, partitioner, prompt_file=prompt_file
    ).part
    if prompts or tasks:
        with processes.losses_told():
            found = _compare(
                model, dataset_cfg, restore_checkpoint_cfg, output_dir, summarize_config_fn, part,
                seed=seed, prompts=prompts, tasks=tasks, without_prompt=without_prompt,
            )  # fmt: skip
        return _report(found, dataset_cfg.split, output_dir, started)
    paths = _paths_to_evaluate(restore_checkpoint_cfg, output_dir, dataset_cfg)
    if not paths:
        print(f"every checkpoint was evaluated already, as {output_dir} says", file=sys.stderr)
        return summary.read(output_dir) or {}
    evaluator, plain = (
        evaluation.SplitEvaluator(
            model,
            dataset_cfg,
            model.input_vocabulary,
            output_dir=folder,
            evaluator_cls=inference_evaluator_cls,
            part=part,
        )
        # The frozen model alone is measured apart, so that the files hold the prompt's predictions.
        for folder in (output_dir, None)
    )
    figures: dict[str, Any] = {}
    for path in paths:
        config = dataclasses.replace(restore_checkpoint_cfg, path=path, mode="specific")
        with processes.losses_told():
            figures = _figures(model, evaluator, config, part, seed, prompt_file)
            if without_prompt:
                figures |= _figures(model, plain, config, part, seed, None, prompt=False)
        figures["wall_seconds"] = time.monotonic() - started
        figures["peak_memory_bytes"] = summary.peak_memory_bytes()
        if not processes.leads():
            continue
        os.makedirs(output_dir, exist_ok=True)
        if summarize_config_fn is not None:
            summarize_config_fn(output_dir)
        _note_checkpoint(output_dir, evaluator.task, path)
        file = summary.write(output_dir, figures)
        notes = [f"files: {os.path.join(output_dir, 'inference_eval')}, {file}"]
        if len(paths) > 1:
            notes.insert(0, f"checkpoint: {path}")
        summary.show(figures, notes)
    return figures


def _figures(
    model, evaluator, config, part, seed: int, prompt_file: str | None, prompt: bool = True
) -> dict[str, Any]:
    """What one checkpoint is worth, with its prompt or without."""
    initial = initialization.initial_parameters(
        model, initialization.ANY_SHAPES, jax.random.PRNGKey(seed), config, part
    )
    artifact_checks.check_prompt_file(prompt_file, model, initial.fingerprint, initial.params)
    arranged = model.arrange(initial.params)
    params = {n: part.place(n, value, model.memory_kind(n)) for n, value in arranged.items()}
    extra = None if prompt else evaluation.no_prompt(model)
    found = evaluator.figures(params, initial.step, extra)
    found |= evaluation.own_metrics(evaluator.task_metrics)
    return _suffixed(found, "with_prompt" if prompt else "without_prompt") | {
        "task": evaluator.task,
        "split": evaluator.split,
        "checkpoint": config.path,
        "step": initial.step,
    }


def _compare(
    model,
    config,
    restore,
    output_dir,
    summarize_config_fn,
    part,
    *,
    seed,
    prompts,
    tasks,
    without_prompt,
) -> list[comparison.Result]:
    """Every prompt on every task."""
    for name in () if config.module else tasks:
        task_names.check(name)  # Not only when the tasks before it are evaluated.
    width = model.module.config.emb_dim
    for path in prompts:
        artifact_checks.check_file(path, restore, vocabulary=model.input_vocabulary, width=width)
    arrays: dict[str, Any] = dict(comparison.read_prompts(prompts, width))
    initial = initialization.initial_parameters(
        model, initialization.ANY_SHAPES, jax.random.PRNGKey(seed), restore, part
    )
    for path in prompts:  # Of any length.
        artifact_checks.check_prompt_file(path, model, initial.fingerprint, {})
    if not arrays:  # Several tasks and the one prompt that the configuration gives.
        arrays = {name: v for name, v in initial.params.items() if name.endswith("/prompt/prompt")}
    if processes.leads():
        os.makedirs(output_dir, exist_ok=True)
        if summarize_config_fn is not None:
            summarize_config_fn(output_dir)
    params = {name: part.place(name, value) for name, value in initial.params.items()}
    found = []
    for result in comparison.results(
        model, params, initial.step, config, tasks or [config.mixture_or_task_name], arrays,
        output_dir, without_prompt=without_prompt, part=part,
    ):  # fmt: skip
        found.append(result)
        if processes.leads():
            print(f"{result.task}, {result.prompt}: done", file=sys.stderr)
    return found


def _report(
    found: Sequence[comparison.Result], split: str, output_dir: str, started: float
) -> dict[str, Any]:
    """Writes `summary.json` and prints the table of a comparison; returns the figures."""
    figures = {
        "split": split,
        "results": comparison.records(found),
        "wall_seconds": time.monotonic() - started,
    }
    if not processes.leads():
        return figures
    file = summary.write(output_dir, figures)
    summary.show_table(comparison.table(found, split), [f"files: {output_dir}, {file}"])
    return figures


def _paths_to_evaluate(restore, output_dir: str, dataset_cfg) -> list[str]:
    found = restore_paths.restore_paths(restore)
    if restore.mode != "all":
        return found
    try:
        with open(
            _list_file(output_dir, dataset_cfg.mixture_or_task_name), encoding="utf-8"
        ) as file:
            done = set(file.read().splitlines())
    except FileNotFoundError:
        return found
    return [path for path in found if path not in done]


def _suffixed(figures: dict[str, float], suffix: str) -> dict[str, float]:
    return {f"{name}_{suffix}": value for name, value in figures.items()}


def _list_file(output_dir: str, task: str) -> str:
    return os.path.join(output_dir, f"eval.{task}.ckpt")


def _note_checkpoint(output_dir: str, task: str, path: str) -> None:
    """Adds a line to `eval.{task}.ckpt`, T5X's list of what was evaluated."""
    with open(_list_file(output_dir, task), "a", encoding="utf-8") as file:
        file.write(path + "\n")
