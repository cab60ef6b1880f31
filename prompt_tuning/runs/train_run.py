# SPDX-License-Identifier: Apache-2.0
"""A training run: T5X's `train`, composed of this project's parts.

    examples -> parameters (checkpoint + initializers) -> training -> evaluation with the prompt and
    without it -> the table, summary.json, and what to do next

The signature is T5X's, because gin files bind it. What is specific to a part lives in that part.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prompt_tuning.config import checkpoint_config, dataset_config
from prompt_tuning.partitioning import processes
from prompt_tuning.runs import (
    best_prompt,
    compilation_cache,
    early_checks,
    preparation,
    training_stages,
)
from prompt_tuning.training import actions as actions_lib
from prompt_tuning.training import trainer as trainer_lib


def train(
    model: Any,
    train_dataset_cfg: dataset_config.DatasetConfig,
    train_eval_dataset_cfg: dataset_config.DatasetConfig | None,
    infer_eval_dataset_cfg: dataset_config.DatasetConfig | None,
    checkpoint_cfg: checkpoint_config.CheckpointConfig,
    partitioner: Any = None,
    trainer_cls: Callable[..., trainer_lib.Trainer] = trainer_lib.Trainer,
    *,
    model_dir: str,
    total_steps: int | None,
    eval_steps: int,
    eval_period: int,
    relative_steps: int | None = None,
    stats_period: int | None = None,
    random_seed: int | None = None,
    use_hardware_rng: bool = False,
    summarize_config_fn: Callable[..., None] | None = None,
    inference_evaluator_cls: Any = None,
    get_dataset_fn: Any = None,
    run_eval_before_training: bool = False,
    use_orbax: bool = False,
    gc_period: int = 0,
    actions: Mapping[str, Sequence[actions_lib.Action]] | None = None,
    concurrent_metrics: bool = True,
    baseline: str = "none",
    baseline_learning_rate: float = 1e-3,
    final_eval_split: str | None = None,
    full_checkpoints: bool = False,
    prompt_file: str | None = None,
    artifact_file: str | None = None,
    best_metric: str | None = None,
    early_stopping: int | None = None,
) -> tuple[int, dict[str, Any]]:
    """Trains the subset that the model's optimizer selects; T5X's `train.train`.

    Args:
      model: `models.EncoderDecoderModel`.
      train_dataset_cfg: examples to train on.
      train_eval_dataset_cfg: examples for the teacher-forced loss at every evaluation, or None.
      infer_eval_dataset_cfg: examples for the task's metrics at every evaluation, or None.
      checkpoint_cfg: what to restore and what to save.
      partitioner: `config.partitioning.PjitPartitioner`: how model and batches lie on the devices.
      trainer_cls: called as `trainer_cls(model, optimizer, rng=key)`.
      model_dir: everything is written below it; an unfinished run in it goes on.
      total_steps: last step, which counts the steps of the restored checkpoint, as in T5X.
      eval_steps: batches of the teacher-forced evaluation.
      eval_period: steps between evaluations.
      relative_steps: steps beyond the base checkpoint's; used instead of `total_steps` if set.
      stats_period: steps between two reports of metrics.
      random_seed: of initialization and dropout; None takes the clock.
      use_hardware_rng: JAX's faster, device-specific generator; None as seed implies it.
      summarize_config_fn: called as `(model_dir, writer, step)`.
      inference_evaluator_cls: `seqio.Evaluator` of gin files: how much is evaluated and written.
      run_eval_before_training: also evaluate the fresh prompt.
      get_dataset_fn, use_orbax, gc_period, concurrent_metrics: accepted for T5X's files, without
        effect; checkpoints are written in T5X's native format, metrics are there at once.
      actions: {"TRAIN_EVAL" or "INFER_EVAL": what may end the training after such an evaluation}.
      baseline: "none", or "model_tuning" to also train all weights on the same batches.
      baseline_learning_rate: of that; constant.
      final_eval_split: split of the table at the end; default that of `infer_eval_dataset_cfg`.
      best_metric: "accuracy", "auc", "exact_match", "loss" (teacher-forced) or a metric of the
        task: the checkpoint of the best evaluation is kept and reported; None: the last one is.
      early_stopping: end after so many evaluations without a better `best_metric`; None: never.
      full_checkpoints: checkpoints hold the frozen weights too, as T5X's; else what trains.
      prompt_file: where the prompt's initializer reads it; an artifact is checked.
      artifact_file: also write the trained prompt here, as one self-describing file.

    Returns:
      The last step, and the figures of `summary.json`.

    Raises:
      ValueError, FileNotFoundError: a setting, a file or a checkpoint is not usable.
      KeyboardInterrupt: the run was interrupted, after its state was saved.
      ProcessLostError: another process of the run has died.
    """
    del get_dataset_fn, use_orbax, gc_period, concurrent_metrics
    actions_lib.check(actions)
    early_checks.check_training(model_dir, baseline, eval_period)
    early_checks.check_artifact_file(artifact_file)
    early_checks.check_best(best_metric, early_stopping, infer_eval_dataset_cfg)
    early_checks.check_steps(total_steps, relative_steps)
    compilation_cache.enable()
    prepared = preparation.prepare(
        model,
        checkpoint_cfg.restore,
        partitioner,
        (train_dataset_cfg, train_eval_dataset_cfg),
        prompt_file,
    )
    with processes.losses_told():
        processes.check_same(model_dir, "--model_dir (MODEL_DIR)")
        best = best_prompt.BestPrompt(model_dir, best_metric, early_stopping)
        run = training_stages.TrainingStages(
            model,
            model_dir,
            trainer_cls,
            random_seed,
            use_hardware_rng,
            full_checkpoints,
            best,
            prepared,
        )
        run.evaluator_cls, run.actions = inference_evaluator_cls, dict(actions or {})
        run.open_data(train_dataset_cfg, infer_eval_dataset_cfg, final_eval_split)
        run.check_best_metric(train_eval_dataset_cfg, eval_steps)
        run.initialize(checkpoint_cfg, total_steps, relative_steps, prompt_file)
        if baseline == "none":
            # The table is asked for the words that a prompt artifact names as the nearest.
            run.initial = run.initial.without_values(keep=[training_stages.TOKEN_TABLE])
        run.open_model_dir(summarize_config_fn)
        if run_eval_before_training:
            run.evaluate("untrained_prompt", "before training")
        run.loop(train_eval_dataset_cfg, eval_steps, eval_period, stats_period)
        run.take_best()
        run.evaluate_both()
        if baseline != "none":
            run.tune_model(baseline_learning_rate)
        return run.last_step, run.report(artifact_file)
