# SPDX-License-Identifier: Apache-2.0
"""Tasks whose examples hold every possible answer, for losses over the labels alone.

    glue_sst2_v200_perceptron          the perceptron's, trained and evaluated
    glue_sst2_v200_generation          the same split trained by generation, for comparison
    glue_sst2_v200_rank_classification_validation ...

The validation split is cut from the end of the training split, the test task has the official
validation split. Inputs have no task name. In a `_perceptron_` example the tokens are columns:
`inputs` [T, C] and `targets` [L, C], with `is_correct` [C]. Importing the module registers nothing;
`tasks.ensure_registered` does, by name.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

from prompt_tuning.data import (
    benchmark,
    glue,
    ranking,
    super_glue,
    task_spec,
    text_formats,
)

# {dataset: examples of the training split held out for validation}
HELD_OUT = {
    "glue": {"cola": 500, "sst2": 2000, "mrpc": 200, "qqp": 5000, "qnli": 3000, "rte": 200},
    "super_glue": {"boolq": 400, "cb": 50, "copa": 50, "rte": 200, "wic": 400},
}
_BENCHMARKS = {"glue": (glue.DATASETS, "2.0.0"), "super_glue": (super_glue.DATASETS, "1.0.2")}


def column_features(vocabulary: seqio.Vocabulary) -> dict[str, seqio.Feature]:
    """Tokens of all answers side by side, and which answers are correct."""
    return {
        "inputs": seqio.Feature(vocabulary, add_eos=True, rank=2),
        "targets": seqio.Feature(vocabulary, add_eos=True, rank=2),
        "is_correct": seqio.Feature(
            seqio.PassThroughVocabulary(size=2), add_eos=False, dtype=tf.bool
        ),
    }


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    for group, (datasets, version) in _BENCHMARKS.items():
        for name, held_out in HELD_OUT[group].items():
            stem = f"{group}_{name}_v{version.replace('.', '')}"
            splits = {
                "train": f"train[:-{held_out}]",
                "validation": f"train[-{held_out}:]",
            }
            yield from _tasks(stem, f"{group}/{name}:{version}", datasets[name], splits)
            yield task_spec.MixtureSpec.equal(
                f"{stem}_perceptron", [f"{stem}_perceptron_train", f"{stem}_perceptron_test"]
            )
            yield task_spec.MixtureSpec.equal(
                f"{stem}_generation",
                [
                    f"{stem}_rank_classification_validation",
                    f"{stem}_rank_classification_test",
                    f"{stem}_generation_train",
                    f"{stem}_generation_test",
                ],
            )


def _tasks(
    stem: str, source: str, dataset: benchmark.Dataset, splits: Mapping[str, str]
) -> Iterator[task_spec.TaskSpec]:
    text = (*dataset.text_steps, text_formats.remove_first_text_token)
    validation = {"validation": splits["validation"]}
    test = ("validation",)
    task = functools.partial(task_spec.TaskSpec, dataset=source, cached=False)
    for part, title, part_splits in (("train", "Validation", splits), ("test", "Test", test)):
        yield task(
            f"{stem}_perceptron_{part}",
            text=(*text, ranking.over_labels(dataset.labels, mode="fewshot_eval")),
            splits=part_splits,
            features=column_features,
            after_eos=(ranking.to_columns,),
            **_over_columns(_measured(f"{dataset.name} Perceptron {title}", dataset)),
        )
    for part, title, part_splits in (("train", "Valid", splits), ("test", "Test", test)):
        yield task(
            f"{stem}_generation_{part}",
            text=text,
            splits=part_splits,
            **_measured(f"{dataset.name} Generation {title}", dataset),
        )
    for part, part_splits in (("validation", validation), ("test", test)):
        yield task(
            f"{stem}_rank_classification_{part}",
            text=(*text, ranking.over_labels(dataset.labels)),
            splits=part_splits,
            postprocess=ranking.postprocess,
            metric_fns=(_rank_metric(dataset.labels),),
        )


def _measured(title: str, dataset: benchmark.Dataset) -> dict[str, Any]:
    return task_spec.with_examples(title, dataset.postprocess_fn, dataset.metric_fns)


def _over_columns(measured: Mapping[str, Any]) -> dict[str, Any]:
    postprocess = functools.partial(
        ranking.postprocess_answer_columns, postprocess_func=measured["postprocess"]
    )
    return {**measured, "postprocess": postprocess}


def _rank_metric(labels: Sequence[str]) -> task_spec.MetricFn:
    return functools.partial(ranking.rank_classification, num_classes=len(labels))
