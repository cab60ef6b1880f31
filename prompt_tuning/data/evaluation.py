# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a model on a task: SeqIO's metrics of its predictions, and ranking of label words.

SeqIO's Evaluator decodes, postprocesses and measures; what a model is stays behind two functions.
The files are upstream's: `{task}-metrics.jsonl` gets a line for each step, `{task}-{step:06}.jsonl`
holds the examples, the folder `{task}` is TensorBoard's. Knows no JAX and no prompt.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from absl import logging

from prompt_tuning.data import (
    cached_task,
    metric_files,
    metric_trial,
    metrics,
    postprocessors,
    tasks,
    token_rows,
)

Batch = token_rows.Batch
# A batch of B rows -> token ids [B, L] or log-likelihoods of the targets [B].
ModelFn = Callable[[Batch], np.ndarray]
# n texts and C label words -> log-likelihoods [n, C].
ScoreLabelsFn = Callable[[Sequence[str], Sequence[str]], np.ndarray]
TaskMetrics = dict[str, dict[str, Any]]

FOLDER = "inference_eval"
# So many examples show whether a task's labels are cut.
_LOOKED_AT = 100


def evaluate_task(
    predict_fn: ModelFn | None,
    score_labels_fn: ScoreLabelsFn | None,
    mixture_or_task_name: str,
    split: str,
    *,
    step: int | None = None,
    score_fn: ModelFn | None = None,
    **options,
) -> TaskMetrics:
    """Evaluates once; arguments are those of `TaskEvaluator` and its `evaluate`."""
    evaluator = TaskEvaluator(mixture_or_task_name, split, **options)
    return evaluator.evaluate(predict_fn, score_labels_fn, step=step, score_fn=score_fn)


class TaskEvaluator:
    """The examples of one split of a task or mixture, prepared once for many evaluations."""

    def __init__(
        self,
        mixture_or_task_name: str,
        split: str,
        *,
        batch_size: int,
        task_feature_lengths: Mapping[str, int] | None = None,
        output_dir: str | None = None,
        input_buckets: Sequence[int] | None = None,
        num_examples: int | None = None,
        write_n_results: int | None = None,
        write_json: bool = True,
        write_tensorboard: bool = True,
        use_cached: bool = False,
        module: str | None = None,
    ):
        """Reads and tokenises the examples.

        Args:
          mixture_or_task_name: as `tasks.ensure_registered` takes it.
          split: the tasks that lack it are left out.
          batch_size: rows in every batch; the last is filled by repeating its last row.
          task_feature_lengths: {"inputs": T, "targets": L}; None measures the examples. L is also
            how far predictions can go, so targets are never narrowed.
          output_dir: gets the folder `inference_eval`; None writes nothing.
          input_buckets: widths to choose from for the inputs of a batch; None: always T.
          num_examples: of each task, from the start; None: all.
          write_n_results: examples to write for each step; None: all, 0: none.
          write_json: write metrics and examples as JSON lines.
          write_tensorboard: write the metrics for TensorBoard.
          use_cached: read SeqIO's cache of the task.
          module: imported first, to register tasks.

        Raises:
          ValueError: no task has the split and a metric, there is no such task, or a task of labels
            has none in the split, as public test sets.
          FileNotFoundError: a dataset is not prepared, or a cache is not there.
        """
        task = tasks.ensure_registered(mixture_or_task_name, module)
        if use_cached:
            cached_task.check(task, split)
        self._batch_size, self._input_buckets = batch_size, input_buckets
        self._max_targets = (task_feature_lengths or {}).get("targets")
        self._ranked: dict[str, _Ranking] = {}
        loggers = []
        if output_dir is not None:
            if write_tensorboard:
                loggers.append(functools.partial(_BoardLogger, self._ranked))
            # Last: where the line of a step is, its evaluation is complete.
            if write_json:
                loggers.append(functools.partial(_Logger, self._ranked, write_n_results))
            output_dir = os.path.join(output_dir, FOLDER)
        self._output_dir = output_dir
        with _errors_only():
            self._evaluator = seqio.Evaluator(
                mixture_or_task_name,
                feature_converter=seqio.EncDecFeatureConverter(pack=False),
                eval_split=split,
                use_cached=use_cached,
                sequence_length=task_feature_lengths,
                num_examples=num_examples,
                logger_cls=loggers,
                log_dir=output_dir,
                async_compute_metrics=False,
            )
        if not self._evaluator.eval_tasks:
            raise ValueError(
                f"the task {mixture_or_task_name!r} cannot be evaluated on {split!r}: it has no "
                "such split, or no metric; choose another --task or split."
            )
        for task in self._evaluator.eval_tasks:
            if not _has_labels(task, self._evaluator.cached_task_datasets[task.name]):
                raise ValueError(
                    f"the split {split!r} of the task {task.name!r} has no labels, so nothing can be "
                    "measured on it; set --split=validation (utils.DatasetConfig.split; at the end "
                    "of training FINAL_EVAL_SPLIT), or let infer predict it."
                )

    @property
    def task_names(self) -> list[str]:
        """The tasks that are evaluated."""
        return [task.name for task in self._evaluator.eval_tasks]

    def trial(self) -> TaskMetrics | None:
        """{task: {metric: value}} as `evaluate` with both functions gives it, but for the values.

        None where a task's metrics cannot be known before there are predictions.
        """
        found: TaskMetrics = {}
        for task in self._evaluator.eval_tasks:
            examples = self._evaluator.cached_task_datasets[task.name].as_numpy_iterator()
            values = metric_trial.perfect_metrics(task, examples)
            if values is None:
                return None
            if labels := tasks.label_words(task):
                _, label_ids = self._texts_and_labels(task, labels)
                values |= _rank_metrics(task, labels, label_ids, np.zeros((1, len(labels))))
            found[task.name] = values
        return found

    def cut_targets(self) -> str:
        """What to tell of targets that are longer than L, as far as a look at some shows; or "".

        A label that is cut is never predicted, and the metrics do not say why.
        """
        for task in self._evaluator.eval_tasks:
            feature, cut, count = task.output_features["targets"], 0, 0
            examples = self._evaluator.cached_task_datasets[task.name].take(_LOOKED_AT)
            for example in examples.as_numpy_iterator():
                text = example.get("targets_pretokenized")
                if not isinstance(text, bytes) or not feature.add_eos:
                    break
                count += 1
                whole = len(feature.vocabulary.encode(text.decode("utf-8"))) + 1
                cut += whole > max(1, len(example["targets"])) == self._max_targets
            if cut:
                return (
                    f"{cut} of the first {count} targets of the task {task.name!r} are longer than "
                    f"{self._max_targets} tokens and are cut, so they cannot be predicted: "
                    "--targets_length (TASK_FEATURE_LENGTHS)."
                )
        return ""

    def rewind(self, step: int) -> bool:
        """Forgets the metrics of later steps; returns whether the files hold those of `step`."""
        if self._output_dir is None:
            return False
        return metric_files.rewind(self._output_dir, self.task_names, step)

    def write_to(self, output_dir: str) -> None:
        """Further evaluations write their `inference_eval` below this folder, if any do."""
        self._output_dir = os.path.join(output_dir, FOLDER)
        for logger in self._evaluator.loggers:
            logger.output_dir = self._output_dir

    def evaluate(
        self,
        predict_fn: ModelFn | None,
        score_labels_fn: ScoreLabelsFn | None = None,
        *,
        step: int | None = None,
        score_fn: ModelFn | None = None,
    ) -> TaskMetrics:
        """Measures a model and appends to the files.

        Args:
          predict_fn: batch -> token ids [B, L]; None leaves the tasks' own metrics out.
          score_labels_fn: texts and label words -> [n, C]; None leaves ranking out. Tasks without
            label words are not ranked.
          step: of the model, for the files.
          score_fn: batch -> [B]; needed when a task has metrics of scores.

        Returns:
          {task: {metric: value}}.

        Raises:
          ValueError: a function gives another shape than it should, or there is none for a metric.
        """
        self._ranked.clear()
        if score_labels_fn is not None:
            for task in self._evaluator.eval_tasks:
                if labels := tasks.label_words(task):
                    self._ranked[task.name] = self._rank(task, labels, score_labels_fn)
        if predict_fn is None:
            return self._log_rankings(step)
        given = {"predict_fn": predict_fn, "score_fn": score_fn}
        self._check_metrics_have_functions(score_fn)
        future, _ = self._evaluator.evaluate(
            compute_metrics=True,
            step=step,
            **{
                name: functools.partial(self._over_batches, function)
                for name, function in given.items()
                if function is not None
            },
        )
        results = {name: dict(values) for name, values in future.result().items()}
        for name, ranking in self._ranked.items():
            results[name].update(ranking.metrics)
        return results

    def _check_metrics_have_functions(self, score_fn: ModelFn | None) -> None:
        for task in self._evaluator.eval_tasks:
            if task.predict_with_aux_metric_fns or (task.score_metric_fns and score_fn is None):
                raise ValueError(
                    f"the task {task.name!r} has metrics of scores or auxiliary values, and this "
                    "evaluation computes predictions alone; choose another --task."
                )

    def _rank(
        self, task: seqio.Task, labels: Sequence[str], score_labels_fn: ScoreLabelsFn
    ) -> "_Ranking":
        texts, label_ids = self._texts_and_labels(task, labels)
        scores = np.asarray(score_labels_fn(texts, labels))
        if scores.shape != (len(texts), len(labels)):
            raise ValueError(
                f"the label scores have shape {scores.shape}; {len(texts)} texts and "
                f"{len(labels)} label words need {(len(texts), len(labels))}."
            )
        return _Ranking(_rank_metrics(task, labels, label_ids, scores), scores)

    def _texts_and_labels(
        self, task: seqio.Task, labels: Sequence[str]
    ) -> tuple[list[str], np.ndarray]:
        """The n inputs, and the label ids int [n] of their targets."""
        texts, label_ids = [], []
        for example in self._evaluator.cached_task_datasets[task.name].as_numpy_iterator():
            texts.append(example["inputs_pretokenized"].decode("utf-8"))
            target = example["targets_pretokenized"].decode("utf-8")
            label_ids.append(postprocessors.string_label_to_class_id(target, labels))
        return texts, np.array(label_ids)

    def _over_batches(self, function: ModelFn, dataset: tf.data.Dataset) -> list[tuple[int, Any]]:
        """[(index, output)] of a SeqIO model dataset of (index, features)."""
        outputs: list[tuple[int, Any]] = []
        for indices, batch in dataset.batch(self._batch_size).as_numpy_iterator():
            missing = self._batch_size - len(indices)
            full = {
                name: np.pad(rows, ((0, missing), (0, 0)), mode="edge")
                for name, rows in batch.items()
            }
            inputs = full["encoder_input_tokens"]
            width = token_rows.bucket_width(
                token_rows.used_width(inputs), inputs.shape[1], self._input_buckets
            )
            full["encoder_input_tokens"] = inputs[:, :width]
            output = np.asarray(function(full))
            if len(output) != self._batch_size:
                raise ValueError(
                    f"the model gave {len(output)} outputs for a batch of {self._batch_size}."
                )
            outputs.extend(zip(indices.tolist(), output[: len(indices)], strict=True))
        return outputs

    def _log_rankings(self, step: int | None) -> TaskMetrics:
        for name in self._ranked:
            for logger in self._evaluator.loggers:
                logger(name, step, {}, None, None, None)
        return {name: ranking.metrics for name, ranking in self._ranked.items()}


def _rank_metrics(
    task: seqio.Task, labels: Sequence[str], label_ids: np.ndarray, scores: np.ndarray
) -> dict[str, Any]:
    """Metrics of label ids [n] and scores [n, C] (or [1, C]), whole and by token."""
    scores = np.broadcast_to(scores, (len(label_ids), len(labels)))
    vocabulary = task.output_features["targets"].vocabulary
    lengths = np.array([len(vocabulary.encode(label)) + 1 for label in labels])
    per_token = metrics.rank_classification(label_ids, scores / lengths)
    return metrics.rank_classification(label_ids, scores) | {
        f"{name}_per_token": value for name, value in per_token.items()
    }


def _has_labels(task: seqio.Task, examples: tf.data.Dataset) -> bool:
    """False where each target stands for no label, or for no score of STS-B.

    There a prediction that is no label would count as right, and the accuracy say nothing.
    """
    example = None
    for example in examples.as_numpy_iterator():
        if "targets_pretokenized" not in example:
            return True
        text = example["targets_pretokenized"].decode("utf-8")
        target = task.postprocess_fn(text, example=example, is_target=True)
        value = target.get("value") if isinstance(target, Mapping) else target
        if not (isinstance(value, int | float) and value == postprocessors.UNKNOWN_LABEL):
            return True
    return example is None


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    """SeqIO warns about lengths that fit and lengths that do not; neither is news to a user."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@dataclasses.dataclass(frozen=True)
class _Ranking:
    """What ranking the label words of a task gave: metrics, and scores [n, C]."""

    metrics: dict[str, Any]
    scores: np.ndarray


def _with_ranking(metrics: Mapping[str, Any], ranking: _Ranking | None) -> dict[str, Any]:
    """The task's own metrics and, where its label words were ranked, those of the ranking."""
    ranked = ranking.metrics if ranking else {}
    return {**metrics, **{name: seqio.metrics.Scalar(value) for name, value in ranked.items()}}


class _BoardLogger(seqio.TensorBoardLogger):
    """SeqIO's TensorBoard files, `{task}/events*`, with the ranking."""

    def __init__(self, ranked: Mapping[str, _Ranking], output_dir: str):
        super().__init__(output_dir)
        self._ranked = ranked

    def __call__(self, task_name, step, metrics, dataset, inferences, targets) -> None:
        metrics = _with_ranking(metrics, self._ranked.get(task_name))
        super().__call__(task_name, step, metrics, dataset, inferences, targets)


class _Logger(seqio.JSONLogger):
    """SeqIO's JSON files, with the ranking beside the task's own metrics."""

    def __init__(
        self, ranked: Mapping[str, _Ranking], write_n_results: int | None, output_dir: str
    ):
        super().__init__(output_dir, write_n_results)
        self._ranked = ranked

    def __call__(self, task_name, step, metrics, dataset, inferences, targets) -> None:
        # Not before there is something to write: a run that fails leaves no empty folder.
        os.makedirs(self.output_dir, exist_ok=True)
        ranking = self._ranked.get(task_name)
        metrics = _with_ranking(metrics, ranking)
        if ranking is not None and inferences:
            aux = {**inferences.get("aux_value", {}), "label_scores": ranking.scores}
            inferences = {**inferences, "aux_value": aux}
        # The line of metrics comes last: where it is, the examples are complete.
        super().__call__(task_name, step, {}, dataset, inferences, targets)
        super().__call__(task_name, step, metrics, None, None, None)
