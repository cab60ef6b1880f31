# SPDX-License-Identifier: Apache-2.0
"""Evaluates sets of parameters on one split of a task, as often as a run asks.

Joins `data.evaluation` (examples, metrics, files) with a model (predictions, label scores). The compiled
functions take the parameters as arguments, so a new prompt costs no compilation.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import traverse_util

from prompt_tuning.config import dataset_config, seqio_names
from prompt_tuning.data import evaluation, tasks
from prompt_tuning.inference import length_batches, predictor
from prompt_tuning.partitioning import partitioner, processes

# Coarser than in training, for a search is compiled for each and runs but a few times.
_EVALUATION_BUCKETS = (32, 64, 128, 256, 512, 1024)

# Name in the evaluator's results -> (name in summary.json, factor).
_EXACT_MATCH = {"accuracy": ("exact_match", 0.01)}
_FIGURES = {"rank_accuracy": ("accuracy", 0.01), "rank_auc": ("auc", 1.0), **_EXACT_MATCH}
_FIGURES_PER_TOKEN = {
    "rank_accuracy_per_token": ("accuracy", 0.01),
    "rank_auc_per_token": ("auc", 1.0),
    **_EXACT_MATCH,
}


def own_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Of `SplitEvaluator.task_metrics` those that no figure holds, averaged over a mixture's tasks.

    They are in the units of the task's metrics: percent but for a few.
    """
    return {
        name: value
        for name, value in metrics.items()
        if "/" not in name and name not in _FIGURES and name not in _FIGURES_PER_TOKEN
    }


def no_prompt(model: Any) -> dict[str, jax.Array]:
    """Arguments for the encoder that mean "no prompt": a prompt of length 0."""
    config = model.module.config
    return {"prompt": jnp.zeros((0, config.emb_dim), jnp.float32)}


class SplitEvaluator:
    """One split of a task, prepared once, and the compiled functions of a model.

    Attributes:
      task: name of the task or mixture.
      split: of it.
      latest_metrics: what `metrics` returned last; {} before.
      task_metrics: {metric: value} of the last call of `figures`, averaged over the tasks of a
        mixture, and {"task/metric": value} of each.
    """

    def __init__(
        self,
        model: Any,
        config: dataset_config.DatasetConfig,
        vocabulary: Any,
        *,
        split: str | None = None,
        output_dir: str | None = None,
        evaluator_cls: Callable[[], seqio_names.Evaluator] | None = None,
        part: partitioner.Partitioner | None = None,
    ):
        """Reads and tokenises the examples; of several processes, each all of them.

        Args:
          model: has `predict_batch`, `score_batch` and `label_scores`.
          config: the task; its split unless `split` is given.
          vocabulary: of the model; tasks over the user's files are tokenised with it.
          split: instead of the config's.
          output_dir: gets upstream's `inference_eval` files, from process 0; None writes none.
          evaluator_cls: how many examples are evaluated and what is written; None: all.
          part: where parameters and batches lie; None is one device.

        Raises:
          ValueError: there is no such task or split, or a file cannot be read.
        """
        tasks.from_config(config, vocabulary)
        self.task, self.split = config.mixture_or_task_name, split or config.split
        self._vocabulary = vocabulary
        self.latest_metrics: dict[str, dict[str, float]] = {}
        self._batch_size = config.batch_size
        lengths = config.task_feature_lengths
        self._max_inputs = lengths["inputs"] if lengths else _EVALUATION_BUCKETS[-1]
        self._evaluator = evaluation.TaskEvaluator(
            self.task,
            self.split,
            batch_size=config.batch_size,
            task_feature_lengths=lengths,
            output_dir=output_dir if processes.leads() else None,
            input_buckets=_EVALUATION_BUCKETS,
            use_cached=config.use_cached,
            **(evaluator_cls or seqio_names.Evaluator)().options(),
        )
        # Told once: what has no folder is evaluated beside what has.
        if output_dir is not None and processes.leads() and (told := self._evaluator.cut_targets()):
            logging.warning("%s", told)
        files = config.file_task
        per_token = files is not None and files.label_scores_per_token
        self._figures = _FIGURES_PER_TOKEN if per_token else _FIGURES
        self.task_metrics: dict[str, float] = {}
        self._part = part = part or partitioner.Partitioner()
        self._predict = part.jit_to_host(_flat(model.predict_batch))
        self._score = part.jit_to_host(_flat(model.score_batch))
        self._label_scores = part.jit_to_host(_flat(model.label_scores))

    def rewind(self, step: int) -> bool:
        """Forgets the metrics of later steps; returns whether the files hold those of `step`.

        Every process must call this: process 0 has the files, and all evaluate together.
        """
        return bool(processes.of_leader(int(self._evaluator.rewind(step))))

    def write_to(self, output_dir: str) -> None:
        """As `data.evaluation.TaskEvaluator.write_to`."""
        self._evaluator.write_to(output_dir)

    def metrics(
        self, params: Mapping[str, jax.Array], step: int, extra: Mapping[str, Any] | None = None
    ) -> dict[str, dict[str, float]]:
        """Returns {task: {metric: value}} of flat `params`; `extra` goes to the encoder."""
        extra = dict(extra or {})

        def predict(batch):
            return jax.device_get(self._predict(params, self._part.put_batch(batch), **extra))

        def score(batch):
            return jax.device_get(self._score(params, self._part.put_batch(batch), **extra))

        def score_labels(texts, labels):
            return self._score_texts(params, texts, labels, extra)

        self.latest_metrics = self._evaluator.evaluate(
            predict, score_labels, step=step, score_fn=score
        )
        return self.latest_metrics

    def figures(
        self, params: Mapping[str, jax.Array], step: int, extra: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """Returns the figures of `summary.json` without their suffix, e.g. {"accuracy": 0.98}.

        `accuracy` ranks the label words by their likelihood (or, with `label_scores_per_token`, by the
        likelihood of their tokens on average) where the task has label words, else it is
        the exact match of the decoded text. All but the AUC are shares of 1, averaged over the tasks of
        a mixture.
        """
        metrics = self.metrics(params, step, extra)
        self.task_metrics = _averages(metrics)
        return self._figures_of(metrics)

    def score_names(self) -> set[str] | None:
        """Names of all that an evaluation gives; None where it cannot be known before one."""
        metrics = self._evaluator.trial()
        return None if metrics is None else {*_averages(metrics), *self._figures_of(metrics)}

    def _figures_of(self, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for values in metrics.values():
            for name, (figure, factor) in self._figures.items():
                if name in values:
                    found.setdefault(figure, []).append(factor * float(values[name]))
        figures = {name: float(np.mean(values)) for name, values in found.items()}
        if "exact_match" in figures:
            figures.setdefault("accuracy", figures["exact_match"])
        return figures

    def _score_texts(
        self, params, texts: Sequence[str], labels: Sequence[str], extra
    ) -> np.ndarray:
        """Log-likelihoods [n, C], computed on batches of similar length."""
        task = tasks.ensure_registered(self.task)
        features = task.output_features
        eos = 1 if features["inputs"].add_eos else None
        tokenizer = self._vocabulary.tokenizer
        tokens = tokenizer.encode_padded(list(texts), self._max_inputs, 0, eos)
        candidates = jnp.asarray(predictor.label_tokens(self._vocabulary, labels))
        scores = np.zeros((len(texts), len(labels)), np.float32)
        buckets = length_batches.usable_buckets(_EVALUATION_BUCKETS, self._max_inputs)
        for batch in length_batches.plan((tokens > 0).sum(axis=1), self._batch_size, buckets):
            rows = self._part.put_batch({"inputs": tokens[batch.rows, : batch.width]})
            result = jax.device_get(self._label_scores(params, rows["inputs"], candidates, **extra))
            scores[batch.rows[: batch.size]] = result[: batch.size]
        return scores


def _averages(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    named: dict[str, float] = {}
    for task, found in metrics.items():
        for name, value in found.items():
            if isinstance(value, int | float | np.number):
                values.setdefault(name, []).append(float(value))
                named[f"{task}/{name}"] = float(value)
    return named | {name: float(np.mean(several)) for name, several in values.items()}


def _flat(function):
    """`function` of the nested tree as a function of flat parameters."""

    def call(params, *arguments, **extra):
        return function(traverse_util.unflatten_dict(dict(params), sep="/"), *arguments, **extra)

    return call
