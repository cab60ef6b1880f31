# SPDX-License-Identifier: Apache-2.0
"""What a task over a public dataset is, as plain data, and how it enters SeqIO's registry.

A table of specs costs nothing: no dataset is opened and no vocabulary read until a spec is
registered and its examples are asked for. Knows no dataset by name.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import seqio
import tensorflow as tf

from data_ops.vocabulary import SentencePieceVocabulary
from prompt_tuning.data import cached_task, metrics, postprocessors, prepared_dataset

# Prefix of a task name -> the model family whose tokens it has; "" is T5.
MODELS = ("", "mt5_", "byt5_")
BYTES = "byt5_"
VOCABULARY_FILES = {
    "": "gs://t5-data/vocabs/cc_all.32000.100extra/sentencepiece.model",
    "mt5_": "gs://t5-data/vocabs/mc4.250000.100extra/sentencepiece.model",
}

Vocabulary = Any  # A seqio.Vocabulary, or one of data_ops.
Step = Callable[..., tf.data.Dataset]
MetricFn = Callable[..., Mapping[str, Any]]


def text_features(vocabulary: seqio.Vocabulary) -> dict[str, seqio.Feature]:
    """T5's features: both end in EOS."""
    return {
        "inputs": seqio.Feature(vocabulary, add_eos=True, required=False),
        "targets": seqio.Feature(vocabulary, add_eos=True),
    }


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """A task over one TFDS dataset.

    Attributes:
      name: in SeqIO's registry.
      dataset: TFDS's name with config and version.
      text: text preprocessors, up to strings `inputs` and `targets`.
      tokens: token preprocessors, before the cut to a length and EOS.
      postprocess: decoded text -> what the metrics compare; None: the text.
      metric_fns: of the task; empty: it is not evaluated.
      splits: names, or {name: TFDS split or slice}; None: all of the dataset.
      model: which of `MODELS` it is for.
      features: vocabulary -> SeqIO features.
      cached: whether SeqIO may cache it after its token preprocessors.
      after_eos: preprocessors behind everything.
      cache_before_tokens: whether the cache comes before the token preprocessors instead, which
        random ones and those that need the lengths of the run want.
    """

    name: str
    dataset: str
    text: Sequence[Step]
    tokens: Sequence[Step] = ()
    postprocess: Callable[..., Any] | None = None
    metric_fns: Sequence[MetricFn] = ()
    splits: Sequence[str] | Mapping[str, str] | None = None
    model: str = ""
    features: Callable[[seqio.Vocabulary], Mapping[str, seqio.Feature]] = text_features
    cached: bool = True
    after_eos: Sequence[Step] = ()
    cache_before_tokens: bool = False

    @property
    def members(self) -> tuple[()]:
        """No others: it is no mixture."""
        return ()

    def register(self, vocabulary: seqio.Vocabulary) -> seqio.Task:
        """Adds the task to SeqIO's registry, in place of an earlier one of its name."""
        cache = [seqio.CacheDatasetPlaceholder()] if self.cached else []
        tokens = [*cache, *self.tokens] if self.cache_before_tokens else [*self.tokens, *cache]
        seqio.TaskRegistry.remove(self.name)
        return seqio.TaskRegistry.add(
            self.name,
            task_cls=cached_task.CachedTask,
            source=prepared_dataset.PreparedDataset(self.dataset, self.splits, self.name),
            preprocessors=[
                *self.text,
                seqio.preprocessors.tokenize,
                *tokens,
                seqio.preprocessors.append_eos_after_trim,
                *self.after_eos,
            ],
            postprocess_fn=self.postprocess,
            metric_fns=list(self.metric_fns),
            output_features=self.features(vocabulary),
        )


@dataclasses.dataclass(frozen=True)
class MixtureSpec:
    """Several tasks together.

    Attributes:
      name: in SeqIO's registry.
      rates: {task: its share}; 0 is never trained on, but evaluated.
      model: which of `MODELS` it is for.
    """

    name: str
    rates: Mapping[str, float]
    model: str = ""

    @classmethod
    def equal(cls, name: str, members: Sequence[str], model: str = "") -> "MixtureSpec":
        """A mixture with a rate of 1 for each member."""
        return cls(name, dict.fromkeys(members, 1.0), model)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the tasks, which must be registered first."""
        return tuple(self.rates)

    def register(self, vocabulary: seqio.Vocabulary) -> seqio.Mixture:
        """Adds the mixture to SeqIO's registry, in place of an earlier one of its name."""
        del vocabulary  # The members have it.
        seqio.MixtureRegistry.remove(self.name)
        return seqio.MixtureRegistry.add(self.name, list(self.rates.items()))


Spec = TaskSpec | MixtureSpec


def with_examples(
    name: str,
    postprocess: Callable[..., Any],
    metric_fns: Sequence[MetricFn],
    text_options: Mapping[str, Any] | None = None,
    **options,
) -> dict[str, Any]:
    """The postprocessor and metrics of a task that shows some of its examples (`..._examples`).

    Args:
      name: begins the names of the texts among the metrics.
      postprocess: of the plain task.
      metric_fns: of the plain task.
      text_options: of `metrics.text_examples`.
      **options: of `postprocessors.postprocess_with_examples`.
    """
    texts = partial(metrics.text_examples, task_name=name, **(text_options or {}))
    return {
        "postprocess": partial(postprocessors.postprocess_with_examples, postprocess, **options),
        "metric_fns": (
            *(partial(metrics.metric_with_examples, metric) for metric in metric_fns),
            texts,
        ),
    }


def default_vocabulary(model: str) -> seqio.Vocabulary:
    """The published vocabulary of a model family; nothing is read yet."""
    if model == BYTES:
        return seqio.ByteVocabulary()
    return SentencePieceVocabulary(VOCABULARY_FILES[model]).as_seqio()


def seqio_vocabulary(spec: Spec, vocabulary: Vocabulary | None) -> seqio.Vocabulary:
    """The vocabulary for `spec`: the run's, or without one the published one of its family.

    Raises:
      ValueError: the task is one of bytes and the run's vocabulary is not.
    """
    if vocabulary is None:
        return default_vocabulary(spec.model)
    if hasattr(vocabulary, "as_seqio"):
        vocabulary = vocabulary.as_seqio()
    if spec.model == BYTES and not isinstance(vocabulary, seqio.ByteVocabulary):
        raise ValueError(
            f"the task {spec.name!r} is one of bytes and the model's vocabulary is {vocabulary}; "
            f"set --task to {spec.name.removeprefix(BYTES)!r}, or give ByT5's vocabulary."
        )
    return vocabulary
