# SPDX-License-Identifier: Apache-2.0
"""The tasks of prompt recycling: with other label words, by generation and by ranking.

    pr:imdb_v100_negative_positive_verbalizers        pr:glue_sst2_v200
    pr:glue_qqp_v200_0_1_verbalizers_training         pr:super_glue_record_v102_rc ...

`..._train(ing)` has a validation split cut from the end of the training split; the test tasks call
the real validation or test split `validation`, so that a mixture evaluates all of them. `_rc` tasks
rank the answers by likelihood. Importing the module registers nothing; `tasks.ensure_registered`
does, by name.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import seqio

from prompt_tuning.data import (
    benchmark,
    glue,
    metrics,
    postprocessors,
    ranking,
    super_glue,
    task_spec,
    text_formats,
)

IMDB_VERBALIZERS = (("0", "1"), ("negative", "positive"))
# By class: 0 is not a duplicate.
QQP_VERBALIZERS = (
    glue.DATASETS["qqp"].labels,
    ("0", "1"),
    ("unique", "duplicate"),
    ("not duplicate", "duplicate"),
)


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    yield from _imdb()
    yield from _qqp()
    yield from _record()
    yield from _sst2()


def verbalizers_name(verbalizers: Sequence[str]) -> str:
    """Label words as part of the name of a task."""
    return "_".join("_spc_".join(words.split()) for words in verbalizers)


def _imdb() -> Iterator[task_spec.Spec]:
    keys = {"inputs": "text", "targets": "label"}
    rekey = functools.partial(seqio.preprocessors.rekey, key_map=keys)
    for words in IMDB_VERBALIZERS:
        stem = f"pr:imdb_v100_{verbalizers_name(words)}_verbalizers"
        to_words = functools.partial(text_formats.label_idx_to_string, label_names=words)
        measures = [_rank_metric(len(words))]
        if words == ("0", "1"):
            measures.append(_normed(len(words)))
        test = {"validation": "test"}
        yield from _family(
            stem,
            "imdb_reviews/plain_text:1.0.0",
            (to_words, rekey),
            words,
            (metrics.accuracy,),
            {
                f"{stem}_train": (_held_out(1000), None),
                f"{stem}_test": (test, None),
                f"{stem}_test_rc": (test, measures),
            },
        )


def _qqp() -> Iterator[task_spec.Spec]:
    validation = ("validation",)
    for words in QQP_VERBALIZERS:
        stem = f"pr:glue_qqp_v200_{verbalizers_name(words)}_verbalizers"
        classes = len(words)
        yield from _family(
            stem,
            "glue/qqp:2.0.0",
            (benchmark.glue_text("qqp", words), text_formats.remove_first_text_token),
            words,
            glue.DATASETS["qqp"].metric_fns,
            {
                f"{stem}_training": (_held_out(10000), None),
                f"{stem}_test": (validation, None),
                f"{stem}_rc": (validation, [_rank_metric(classes)]),
                f"{stem}_rc_normed": (validation, [_rank_metric(classes, normalize=True)]),
            },
        )


def _sst2() -> Iterator[task_spec.Spec]:
    dataset, stem, validation = glue.DATASETS["sst2"], "pr:glue_sst2_v200", ("validation",)
    yield from _family(
        stem,
        "glue/sst2:2.0.0",
        (*dataset.text_steps, text_formats.remove_first_text_token),
        dataset.labels,
        dataset.metric_fns,
        {
            f"{stem}_train": (_held_out(1000), None),
            f"{stem}_test": (validation, None),
            f"{stem}_test_rc": (validation, [_rank_metric(len(dataset.labels))]),
        },
    )


def _record() -> Iterator[task_spec.Spec]:
    dataset, stem = super_glue.DATASETS["record"], "pr:super_glue_record_v102"
    validation = ("validation",)
    generation: dict[str, Any] = {
        "text": (*dataset.text_steps, text_formats.remove_first_text_token),
        "postprocess": dataset.postprocess_fn,
        "metric_fns": dataset.metric_fns,
    }
    rank: dict[str, Any] = {
        "text": (
            text_formats.record_to_rank,
            text_formats.remove_first_text_token,
            ranking.over_entities(),
        ),
        "postprocess": ranking.postprocess,
        "metric_fns": (_rank_metric(None), _normed(None)),
    }
    parts: dict[str, tuple[Any, dict[str, Any]]] = {
        f"{stem}_training": (_held_out(10000), generation),
        f"{stem}_test": (validation, generation),
        f"{stem}_rc": (validation, rank),
    }
    for name, (splits, options) in parts.items():
        yield task_spec.TaskSpec(
            name, "super_glue/record:1.0.2", splits=splits, cached=False, **options
        )
    yield from _mixtures(stem, list(parts))


def _held_out(examples: int) -> dict[str, str]:
    return {"train": f"train[:-{examples}]", "validation": f"train[-{examples}:]"}


def _rank_metric(classes: int | None, normalize: bool = False) -> task_spec.MetricFn:
    return functools.partial(
        ranking.rank_classification, num_classes=classes, normalize_by_target_length=normalize
    )


def _normed(classes: int | None) -> task_spec.MetricFn:
    return functools.partial(
        ranking.prefix_metric_names,
        metric_prefix="normed",
        metric_fn=_rank_metric(classes, normalize=True),
    )


def _family(
    stem: str,
    dataset: str,
    text: Sequence[task_spec.Step],
    words: Sequence[str],
    metric_fns: Sequence[task_spec.MetricFn],
    parts: Mapping[str, tuple[Any, Sequence[task_spec.MetricFn] | None]],
) -> Iterator[task_spec.Spec]:
    """The tasks of a dataset with two label words, and the mixtures of them.

    `parts` is {name: (splits, metrics of ranking, or None for a task of generation)}.
    """
    to_class = functools.partial(postprocessors.string_label_to_class_id, label_classes=words)
    for name, (splits, rank_metrics) in parts.items():
        yield task_spec.TaskSpec(
            name,
            dataset,
            text if rank_metrics is None else (*text, ranking.over_labels(words)),
            postprocess=to_class if rank_metrics is None else ranking.postprocess,
            metric_fns=metric_fns if rank_metrics is None else rank_metrics,
            splits=splits,
            cached=False,
        )
    yield from _mixtures(stem, list(parts))


def _mixtures(stem: str, members: Sequence[str]) -> Iterator[task_spec.MixtureSpec]:
    """All parts, to train on; and all but the first, which is the training task, to evaluate."""
    yield task_spec.MixtureSpec.equal(stem, members)
    yield task_spec.MixtureSpec.equal(f"{stem}_eval", members[1:])
