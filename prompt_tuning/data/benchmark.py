# SPDX-License-Identifier: Apache-2.0
"""The forms in which every dataset of GLUE and SuperGLUE is registered, and what they share.

    <stem>               T5's text, whose first word is the task
    taskless_<stem>      without that word, for a prompt to say what the task is
    task_index_<stem>    with one sentinel token in its place, for a prompt of many tasks
    ..._examples         shows examples and predictions beside the metrics

Knows neither the datasets nor the metrics.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prompt_tuning.data import postprocessors, task_spec, text_formats, token_noise

PLAIN, TASKLESS, TASK_INDEX = MARKERS = ("", "taskless_", "task_index_")
EXAMPLES = "_examples"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One dataset of a benchmark.

    Attributes:
      name: TFDS's config.
      labels: names of the classes, in TFDS's order; empty where there are none.
      metric_fns: of the task.
      text: preprocessors up to texts; default: `text_formats.glue` by name and labels.
      postprocess: default: text -> class id.
      splits: as in `task_spec.TaskSpec`.
      evaluated: whether predictions are postprocessed and measured at all.
    """

    name: str
    labels: Sequence[str] = ()
    metric_fns: Sequence[task_spec.MetricFn] = ()
    text: Sequence[task_spec.Step] = ()
    postprocess: Callable[..., Any] | None = None
    splits: Sequence[str] | None = None
    evaluated: bool = True

    @property
    def text_steps(self) -> Sequence[task_spec.Step]:
        return self.text or (glue_text(self.name, self.labels),)

    @property
    def postprocess_fn(self) -> Callable[..., Any]:
        return self.postprocess or functools.partial(
            postprocessors.string_label_to_class_id, label_classes=self.labels
        )


def glue_text(
    name: str, labels: Sequence[str], features: Sequence[str] | None = None
) -> task_spec.Step:
    """`text_formats.glue` for a dataset."""
    return functools.partial(
        text_formats.glue, benchmark_name=name, label_names=labels, feature_names=features
    )


def task_index(names: Iterable[str], same_as: Mapping[str, str]) -> dict[str, int]:
    """{name: number of the task}, counted in the order of the names.

    Args:
      names: all; those of `same_as` get the number of the name they are mapped to.
      same_as: {name: name}.

    Raises:
      ValueError: a name is the same as an unknown one.
    """
    counted = sorted(set(names) - set(same_as))
    index = {name: number for number, name in enumerate(counted)}
    for name, other in same_as.items():
        if other not in index:
            raise ValueError(f"the task {name!r} is to have the index of {other!r}, an unknown.")
        index[name] = index[other]
    return index


def variants(
    stem: str,
    source: str,
    dataset: Dataset,
    index: int,
    leave_out: Sequence[str] = (),
    models: Sequence[str] = task_spec.MODELS,
) -> Iterator[task_spec.TaskSpec]:
    """All forms of a dataset, for each model family.

    Args:
      stem: of the names.
      source: TFDS's name.
      dataset: what it is.
      index: number of the task, for `task_index_`.
      leave_out: forms that are not wanted, like "taskless_" or "_examples".
      models: prefixes.
    """
    for model, marker, suffix in forms(leave_out, models):
        steps = list(dataset.text_steps)
        sentinel = functools.partial(
            token_noise.add_sentinel_to_beginning, field="inputs", offset=index
        )
        measured: dict[str, Any] = {}
        if dataset.evaluated:
            measured = {"postprocess": dataset.postprocess_fn, "metric_fns": dataset.metric_fns}
            if suffix:
                measured = task_spec.with_examples(dataset.name, **measured)
        yield task_spec.TaskSpec(
            name=f"{model}{marker}{stem}{suffix}",
            dataset=source,
            text=steps + [text_formats.remove_first_text_token] * (marker != PLAIN),
            tokens=[sentinel] * (marker == TASK_INDEX),
            splits=dataset.splits,
            model=model,
            **measured,
        )


def forms(
    leave_out: Sequence[str] = (), models: Sequence[str] = task_spec.MODELS
) -> Iterator[tuple[str, str, str]]:
    """(prefix of the model, marker, suffix) of every form but those of `leave_out`.

    `leave_out` names markers followed by suffixes; "" is the form that only T5 itself registers.
    """
    for model in models:
        for marker in MARKERS:
            for suffix in ("", EXAMPLES):
                if marker + suffix not in leave_out:
                    yield model, marker, suffix
