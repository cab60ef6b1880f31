# SPDX-License-Identifier: Apache-2.0
"""The tasks of SuperGLUE, with WSC and DPR as generation, under the names of T5 and prompt-tuning.

    super_glue_boolq_v102_examples  taskless_super_glue_cb_v102  task_index_super_glue_rte_v102 ...
    taskless_super_glue_wsc_and_dev_v102_simple  taskless_dpr_v001_simple_examples ...
    task_index_super_glue_v102_examples_proportional

WSC is trained on the examples whose span is the referent and evaluated on all, so it is two tasks
and a mixture. Importing the module registers nothing; `tasks.ensure_registered` does, by name.

What differs from upstream, in the tasks of DPR: `_examples` has a postprocessor (upstream's is a
tuple by a stray comma), `task_index_` has DPR's own metrics (upstream's are those of the dataset
before it), and its sentinel comes before the cache, as everywhere else.
"""

import functools
from collections.abc import Iterator

import seqio

from prompt_tuning.data import (
    answer_metrics,
    benchmark,
    metrics,
    postprocessors,
    task_spec,
    text_formats,
)

_BOOLEAN = ("False", "True")
_ENTAILMENT = ("entailment", "not_entailment")
_ACCURACY = (metrics.accuracy,)
_RTE_TEXT = benchmark.glue_text("rte", _ENTAILMENT)
# AX-b has the names of another dataset's features; T5 reads it as RTE.
_AXB_KEYS = {"premise": "sentence1", "hypothesis": "sentence2", "label": "label", "idx": "idx"}


def _glue_text(name: str, *features: str) -> tuple[task_spec.Step, ...]:
    return (benchmark.glue_text(name, _BOOLEAN, features),)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        benchmark.Dataset("boolq", _BOOLEAN, _ACCURACY),
        benchmark.Dataset(
            "cb",
            ("entailment", "contradiction", "neutral"),
            (metrics.mean_3class_f1, metrics.accuracy),
        ),
        benchmark.Dataset("copa", ("choice1", "choice2"), _ACCURACY),
        benchmark.Dataset(
            "multirc",
            _BOOLEAN,
            (answer_metrics.multirc_f1_over_all_answers, answer_metrics.multirc_exact_match),
            text=_glue_text("multirc", "question", "answer", "paragraph"),
            postprocess=postprocessors.multirc,
        ),
        benchmark.Dataset(
            "record",
            metric_fns=(answer_metrics.record_squad,),
            text=(text_formats.record,),
            postprocess=postprocessors.record,
        ),
        benchmark.Dataset("rte", _ENTAILMENT, _ACCURACY),
        # The places of the word in the sentences are not used.
        benchmark.Dataset(
            "wic", _BOOLEAN, _ACCURACY, text=_glue_text("wic", "sentence1", "sentence2", "word")
        ),
        benchmark.Dataset(
            "axb",
            _ENTAILMENT,
            text=(functools.partial(seqio.preprocessors.rekey, key_map=_AXB_KEYS), _RTE_TEXT),
            splits=("test",),
        ),
        benchmark.Dataset("axg", _ENTAILMENT, text=(_RTE_TEXT,), splits=("test",)),
    )
}
# Number of the task, for the sentinel of `task_index_`.
TASK_INDEX = benchmark.task_index(
    [*DATASETS, "wsc", "wsc.fixed"], {"axb": "rte", "axg": "rte", "wsc.fixed": "wsc"}
)

DPR = benchmark.Dataset(
    "dpr",
    metric_fns=_ACCURACY,
    text=(text_formats.definite_pronoun_resolution_simple,),
    postprocess=postprocessors.identity,
)
WSC_TRAIN = benchmark.Dataset(
    "wsc",
    text=(functools.partial(text_formats.wsc_simple, correct_referent_only=True),),
    splits=("train",),
    evaluated=False,
)
WSC_EVAL = benchmark.Dataset(
    "wsc",
    metric_fns=_ACCURACY,
    text=(text_formats.wsc_simple,),
    postprocess=postprocessors.wsc_simple,
    splits=("validation", "test"),
)

# {task: training examples}, which is its rate in the mixtures of all tasks.
_SIZES = {
    "task_index_super_glue_wsc_v102_simple_train": 259.0,
    "task_index_super_glue_wsc_v102_simple_eval_examples": 0.0,
    "task_index_super_glue_boolq_v102_examples": 9427.0,
    "task_index_super_glue_cb_v102_examples": 250.0,
    "task_index_super_glue_copa_v102_examples": 400.0,
    "task_index_super_glue_multirc_v102_examples": 27243.0,
    "task_index_super_glue_record_v102_examples": 138854.0,
    "task_index_super_glue_rte_v102_examples": 2490.0,
    "task_index_super_glue_wic_v102_examples": 5428.0,
}
_SIZES_WITH_DPR = {"task_index_dpr_v001_simple_examples": 1322.0, **_SIZES}


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    for name, dataset in DATASETS.items():
        yield from benchmark.variants(
            f"super_glue_{name}_v102", f"super_glue/{name}:1.0.2", dataset, TASK_INDEX[name]
        )
    wsc = TASK_INDEX["wsc"]
    yield from benchmark.variants(
        "dpr_v001_simple", "definite_pronoun_resolution:1.1.0", DPR, wsc, (benchmark.EXAMPLES,)
    )
    for part, dataset, leave_out in (
        ("train", WSC_TRAIN, (benchmark.EXAMPLES,)),
        ("eval", WSC_EVAL, ()),
    ):
        yield from benchmark.variants(
            f"super_glue_wsc_v102_simple_{part}",
            "super_glue/wsc.fixed:1.0.2",
            dataset,
            wsc,
            leave_out,
        )
    yield from _mixtures()


def _mixtures() -> Iterator[task_spec.MixtureSpec]:
    for model, marker, suffix in benchmark.forms(leave_out=(benchmark.PLAIN,)):
        stem = f"{model}{marker}super_glue_wsc"
        # The plain training task is never shown, so it has no form that shows examples.
        train = suffix if marker else ""
        yield task_spec.MixtureSpec.equal(
            f"{stem}_and_dev_v102_simple{suffix}",
            [f"{stem}_v102_simple_train{train}", f"{stem}_v102_simple_eval{suffix}"],
            model,
        )
    yield task_spec.MixtureSpec("task_index_super_glue_v102_examples_proportional", _SIZES)
    yield task_spec.MixtureSpec(
        "task_index_super_glue_with_dpr_v102_examples_proportional", _SIZES_WITH_DPR
    )
