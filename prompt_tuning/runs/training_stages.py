# SPDX-License-Identifier: Apache-2.0
"""The stages of a training run, in the order in which `train_run.train` goes through them.

    open_data -> initialize -> open_model_dir -> loop -> take_best -> evaluate_both -> report

What is specific to a part lives in that part; here they are given to one another.
"""

import os
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import psutil

from prompt_tuning.config import allocator, checkpoint_config
from prompt_tuning.data import pipeline, task_report, token_rows
from prompt_tuning.partitioning import processes
from prompt_tuning.runs import (
    artifact_checks,
    artifacts,
    baselines,
    best_prompt,
    early_checks,
    evaluation,
    initial_prompt,
    initialization,
    model_info,
    periodic_evaluation,
    summary,
    topology,
)
from prompt_tuning.training import actions as actions_lib
from prompt_tuning.training import checkpointing, loop, metrics_writer, progress, subset

TOKEN_TABLE = "token_embedder/embedding"


class TrainingStages:
    """The parts of one run, in the order in which they come into being."""

    def __init__(
        self,
        model,
        model_dir,
        trainer_cls,
        random_seed,
        use_hardware_rng,
        full_checkpoints,
        best,
        prepared,
    ):
        # Of the process: imports and gin are part of what a user waits for.
        self.started = time.monotonic() - (time.time() - psutil.Process().create_time())
        self.model, self.model_dir = model, model_dir
        self.trainer_cls, self.random_seed = trainer_cls, random_seed
        self.vocabulary = model.input_vocabulary
        self.full_checkpoints = full_checkpoints
        self.part, self.plan = prepared.part, prepared.plan
        self.best: best_prompt.BestPrompt = best
        self.leads = processes.leads()  # Writes the files, and talks.
        self.display = progress.make_progress() if self.leads else progress.NoProgress()
        self.figures: dict[str, Any] = {"random_seed": random_seed}
        self.evaluator_cls: Any = None
        self.actions: dict[str, Sequence[actions_lib.Action]] = {}
        # As T5X: one key for fresh parameters, one that every step's dropout is folded from.
        self.init_rng, self.trainer_rng = jax.random.split(
            initialization.random_key(random_seed, use_hardware_rng)
        )

    def open_data(self, train_config, eval_config, final_split) -> None:
        """Reads every example first: a mistake in a file must not wait for a model."""
        self.train_config = train_config
        rows = self.model.module.config.vocab_size
        early_checks.check_vocabulary(self.vocabulary, rows)
        self.batches = self.training_batches()
        self.evaluator = self._evaluator(eval_config, None, self.model_dir)
        # Of its own, and without files: what it finds of the frozen model alone must not stand
        # among the prompt's predictions.
        self.final_evaluator = self._evaluator(eval_config, final_split, None)

    def check_best_metric(self, train_eval_config, eval_steps: int) -> None:
        """The metric that is to be the best is one of the evaluations' before any is made."""
        if not self.best or self.best.metric == best_prompt.LOSS and eval_steps:
            return
        assert self.evaluator is not None  # `early_checks.check_best` has told that.
        names = self.evaluator.score_names()
        if names is not None:
            has_loss = train_eval_config is not None and early_checks.has_split(train_eval_config)
            self.best.check(names | ({best_prompt.LOSS} if has_loss and eval_steps else set()))

    def _evaluator(self, config, split, output_dir) -> evaluation.SplitEvaluator | None:
        if config is None or not early_checks.has_split(config, split):
            return None
        return evaluation.SplitEvaluator(
            self.model,
            config,
            self.vocabulary,
            split=split,
            output_dir=output_dir,
            evaluator_cls=self.evaluator_cls,
            part=self.part,
        )

    def training_batches(self) -> pipeline.BatchIterator:
        return pipeline.BatchIterator.from_config(
            self.train_config,
            self.vocabulary,
            length_buckets=token_rows.LENGTH_BUCKETS,
            **topology.data_arguments(self.part, self.train_config),
        )

    def initialize(self, config, total_steps, relative_steps, prompt_file) -> None:
        """Parameters, training state, and the newest checkpoint of MODEL_DIR if there is one."""
        self.initial = initialization.initial_parameters(
            self.model,
            self.batches.input_shapes,
            self.init_rng,
            config.restore,
            self.part,
            self.plan,
        )
        artifact_checks.check_prompt_file(
            prompt_file, self.model, self.initial.fingerprint, self.initial.params
        )
        self.base_model = str(config.restore.path) if config.restore else ""
        self.last_step = _last_step(self.initial.step, total_steps, relative_steps)
        self.trainer = self.trainer_cls(
            self.model,
            self.model.optimizer_def,
            rng=self.trainer_rng,
            partitioner=self.part,
            row_groups=topology.row_groups(self.part, token_rows.LENGTH_BUCKETS),
            # Groups need pieces of about one size; whole batches may be too large to keep.
            after_first_group=allocator.keep_freed_memory,
        )
        self.state, self.frozen = self.trainer.init_state(self.initial.params, self.initial.step)
        if not _count(self.state.params):
            raise ValueError(
                "there is nothing to train: the selected parameters have no elements; set "
                "--prompt_length (PROMPT_LENGTH) to at least 1."
            )
        save = config.save or checkpoint_config.SaveCheckpointConfig()
        self.manager = checkpointing.CheckpointManager(
            self.model_dir,
            save.period,
            save.keep,
            keep_dataset_checkpoints=save.keep_dataset_checkpoints,
            checkpoint_steps=save.checkpoint_steps or (),
            save_dtype=save.dtype or "float32",
            save_paths=save.save_paths,
            record=checkpointing.RunRecord(
                base_fingerprint=self.initial.fingerprint,
                trainable_regexes=getattr(self.model.optimizer_def, "trainable_regexes", ()),
                random_seed=self.random_seed,
                first_step=self.initial.step,
            ),
        )
        self.resume()

    def resume(self) -> None:
        restored = self.manager.restore_latest(self.state)
        if restored is None:
            warning = initial_prompt.scale_warning(self.initial.params, self.initial.drawn)
            if warning:
                self.display.note(f"warning: {warning}")
            return
        self.state = restored.state
        self.best.go_on_from(int(self.state.step))
        if restored.data_position:
            self.batches.restore(restored.data_position)
        self.display.note(f"going on from {restored.directory}")

    def open_model_dir(self, summarize_config_fn) -> None:
        self.writer = None
        if not self.leads:
            return
        os.makedirs(self.model_dir, exist_ok=True)
        self.writer = metrics_writer.MetricsWriter(os.path.join(self.model_dir, "train"))
        if summarize_config_fn is not None:
            summarize_config_fn(self.model_dir, self.writer, int(self.state.step))
        model_info.write(self.model_dir, self.initial.params, set(self.state.params))
        self.report_data()

    def report_data(self) -> None:
        """Labels and lengths of the training split, where they cost nothing."""
        task, split = self.batches.task, self.train_config.split
        if report := task_report.of_text_task(task, split, self.batches.lengths):
            self.figures |= report.figures()
            self.display.note(report.text())

    def params(self) -> dict[str, jax.Array]:
        return subset.merge(self.state.params, self.frozen)

    def evaluate(self, suffix: str, title: str, params=None, extra=None) -> None:
        """Adds the final split's figures under `suffix`."""
        if self.final_evaluator is None:
            return
        params = self.params() if params is None else params
        found = self.final_evaluator.figures(params, int(self.state.step), extra)
        found |= evaluation.own_metrics(self.final_evaluator.task_metrics)
        self.figures |= {f"{name}_{suffix}": value for name, value in found.items()}
        self.display.note(f"{title}: {_text(found)}")

    def loop(self, train_eval_config, eval_steps, eval_period, stats_period) -> None:
        before = time.monotonic() - self.started
        self.periodic = periodic_evaluation.PeriodicEvaluation(
            self.model_dir,
            self.display,
            self.trainer,
            self.frozen,
            evaluator=self.evaluator,
            batches=self.teacher_forced_batches(train_eval_config),
            num_batches=eval_steps,
        )
        frozen = self.frozen if self.full_checkpoints else None
        selecting = best_prompt.SelectingEvaluation(
            self.periodic,
            self.best,
            lambda state: self.manager.save(state, self.batches.save, frozen),
            self.display.note,
        )
        last_step = int(self.state.step) if self.best.exhausted else self.last_step
        result = loop.run_training(
            self.trainer,
            self.state,
            self.frozen,
            self.batches,
            last_step,
            eval_period=eval_period,
            eval_fn=selecting,
            is_evaluated=selecting.is_done,
            stop_fn=self.is_stopped_by_an_action,
            stats_period=stats_period,
            checkpoint_manager=self.manager,
            full_checkpoints=self.full_checkpoints,
            progress=self.display,
            writer=self.writer,
        )
        self.state = result.state
        if result.stopped_early:
            self.last_step = int(self.state.step)
            self.display.note(f"training ends early, at step {self.last_step}")
        if result.interrupted:
            raise KeyboardInterrupt(
                f"{result.interrupted}: stopped at step {int(self.state.step)}, which is saved in "
                f"{self.model_dir}; the same command goes on from there"
            )
        if self.writer is not None:
            self.writer.close()
        if result.steps:
            self.figures["steps_per_second"] = result.steps_per_second
            rows = self.train_config.batch_size
            self.figures["examples_per_second"] = rows * result.steps_per_second
            self.figures["seconds_to_first_step"] = before + result.seconds_to_first_step
        else:
            self.display.note(f"step {last_step} was reached before; nothing to train")
            self.figures |= summary.times(self.model_dir)
        if self.best.exhausted:
            self.display.note(f"stopped early: nothing better since step {self.best.best_step}")
            self.last_step = int(self.state.step)

    def take_best(self) -> None:
        """The best state in place of the last, where they differ."""
        step = self.best.best_step
        if step is not None and step != int(self.state.step):
            self.state = self.manager.restore(self.state, step).state
            self.periodic.latest = None
            self.display.note(f"going back to the best prompt, of step {int(self.state.step)}")

    def is_stopped_by_an_action(self, state) -> bool:
        """Asks all actions, because each keeps its own record."""
        found = self.periodic.metrics_by_task()
        answers = [a.run(state, found[mode]) for mode in self.actions for a in self.actions[mode]]
        return any(answers)

    def teacher_forced_batches(self, config) -> Callable[[], pipeline.BatchIterator] | None:
        """Makes the batches of one teacher-forced evaluation; always the same ones."""
        if config is None or not early_checks.has_split(config):
            return None

        arguments = topology.data_arguments(self.part, config)

        def batches():
            return pipeline.BatchIterator.from_config(
                config,
                self.vocabulary,
                length_buckets=token_rows.LENGTH_BUCKETS,
                num_epochs=1,
                drop_remainder=False,
                **arguments,
            )

        return batches

    def evaluate_both(self) -> None:
        """With the prompt, and the frozen model alone: last, so that the first step comes soon."""
        last, final = self.evaluator, self.final_evaluator
        same = last is not None and final is not None and last.split == final.split
        if same and self.periodic.latest is not None:
            found = self.periodic.latest  # Of the last step: the loop evaluates there.
            self.figures |= {f"{name}_with_prompt": value for name, value in found.items()}
        else:
            self.evaluate("with_prompt", "frozen model with the prompt")
        extra = evaluation.no_prompt(self.model)
        self.evaluate("without_prompt", "frozen model, no prompt", extra=extra)

    def tune_model(self, learning_rate: float) -> None:
        self.display.note("baseline: tuning the whole model, without a prompt")
        tuned = baselines.tune_model(
            self.model,
            self.trainer_cls,
            self.initial,
            self.training_batches(),
            self.last_step,
            learning_rate=learning_rate,
            rng=self.trainer_rng,
            part=self.part,
            display=progress.make_progress() if self.leads else progress.NoProgress(),
        )
        self.figures["trained_parameters_model_tuning"] = _count(tuned)
        extra = evaluation.no_prompt(self.model)
        self.evaluate("model_tuning", "whole model tuned, no prompt", tuned, extra)

    def report(self, artifact_file: str | None = None) -> dict[str, Any]:
        """Writes summary.json and the artifact, prints the table; returns the figures."""
        trained = _count(self.state.params)
        self.figures |= {
            "task": self.train_config.mixture_or_task_name,
            "split": (self.final_evaluator.split if self.final_evaluator else summary.NO_SPLIT),
            "prompt_parameters": trained,
            "prompt_bytes": 4 * trained,
            "model_parameters": _count(self.initial.params) - trained,
            "trained_parameters_with_prompt": trained,
            "trained_parameters_without_prompt": 0,
            "train_steps": self.last_step - self.initial.step,
            "last_step": self.last_step,
            "wall_seconds": time.monotonic() - self.started,
            "peak_memory_bytes": summary.peak_memory_bytes(),
            "model_dir": os.path.abspath(self.model_dir),
        } | self.best.figures()
        self.figures["prompt_file"] = os.path.abspath(self.prompt_file())
        table: Any = processes.fetch(self.initial.params[TOKEN_TABLE]) if artifact_file else None
        if not self.leads:
            return self.figures
        path = summary.write(self.model_dir, self.figures)
        notes = [f"prompt:  {self.prompt_file()}"]
        if artifact_file:
            self.write_artifact(artifact_file, table)
            notes.append(f"artifact: {artifact_file}")
        summary.show(
            self.figures,
            [
                *notes,
                f"figures: {path}",
                "next:    echo 'your text' | tools/bazel run //prompt_tuning:infer -- "
                f"--model_dir={shlex.quote(self.model_dir)} --input_file=-",
            ],
        )
        return self.figures

    def write_artifact(self, path: str, table: np.ndarray) -> None:
        """Writes the one prompt that was trained, with what it belongs to."""
        artifacts.write(
            path,
            trained=self.state.params,
            model=self.model,
            base_fingerprint=self.initial.fingerprint,
            base_model=os.path.basename(self.base_model.rstrip("/")),
            embedding=table,
            figures=self.figures,
            recipe={
                # Of the prompt that is written, which may be the best and not the last.
                "train_steps": int(self.state.step) - self.initial.step,
                "batch_size": self.train_config.batch_size,
                "learning_rate": float(self.trainer.learning_rate_fn(int(self.state.step))),
                "random_seed": self.random_seed,
                "first_step": self.initial.step,
            },
        )

    def prompt_file(self) -> str:
        """The trained parameter as a numpy file; the folder, where there are several."""
        step = int(self.state.step)
        folder = os.path.join(self.model_dir, "numpy_checkpoints", f"checkpoint_{step}")
        names = [name.replace("/", ".") for name in self.state.params]
        return os.path.join(folder, names[0]) if len(names) == 1 else folder


def _count(params) -> int:
    return sum(int(value.size) for value in params.values())


def _last_step(first: int, total_steps: int | None, relative_steps: int | None) -> int:
    if relative_steps is not None:
        return first + relative_steps
    assert total_steps is not None  # `early_checks.check_steps` has told that.
    return total_steps


def _text(figures: dict[str, float]) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
