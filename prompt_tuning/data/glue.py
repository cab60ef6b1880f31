# SPDX-License-Identifier: Apache-2.0
"""The tasks of GLUE, under the names of T5 and prompt-tuning.

    glue_sst2_v002  glue_sst2_v002_examples  taskless_glue_sst2_v200  mt5_taskless_glue_rte_v200 ...

`v002` reads version 1.0.0 of the dataset, as T5 does, `v200` version 2.0.0. Importing the module
registers nothing; `tasks.ensure_registered` does, by name.

What differs from upstream: the MNLI mixtures of `taskless_` and `task_index_` have members of that
form; upstream's have the plain ones, with the word "mnli" in front.
"""

from collections.abc import Iterator

from prompt_tuning.data import benchmark, metrics, postprocessors, task_spec, text_formats

# Version in a task's name -> TFDS's version.
VERSIONS = {"v002": "1.0.0", "v200": "2.0.0"}

_NLI = ("entailment", "neutral", "contradiction")
_ENTAILMENT = ("entailment", "not_entailment")
_ACCURACY = (metrics.accuracy,)
_F1_AND_ACCURACY = (metrics.f1_score_with_invalid, metrics.accuracy)


def _mnli(name: str, **options) -> benchmark.Dataset:
    text = (benchmark.glue_text("mnli", _NLI),)
    return benchmark.Dataset(name, _NLI, **{"metric_fns": _ACCURACY, "text": text, **options})


DATASETS = {
    dataset.name: dataset
    for dataset in (
        benchmark.Dataset("cola", ("unacceptable", "acceptable"), (metrics.matthews_corrcoef,)),
        benchmark.Dataset("sst2", ("negative", "positive"), _ACCURACY),
        benchmark.Dataset("mrpc", ("not_equivalent", "equivalent"), _F1_AND_ACCURACY),
        benchmark.Dataset("qqp", ("not_duplicate", "duplicate"), _F1_AND_ACCURACY),
        benchmark.Dataset(
            "stsb",
            metric_fns=(metrics.pearson_corrcoef, metrics.spearman_corrcoef),
            text=(text_formats.stsb,),
            postprocess=postprocessors.string_to_float,
        ),
        _mnli("mnli"),
        _mnli("mnli_mismatched"),
        _mnli("mnli_matched"),
        benchmark.Dataset("qnli", _ENTAILMENT, _ACCURACY),
        benchmark.Dataset("rte", _ENTAILMENT, _ACCURACY),
        benchmark.Dataset("wnli", ("not_entailment", "entailment"), _ACCURACY),
        _mnli("ax", metric_fns=(), splits=("test",)),
    )
}
# Number of the task, for the sentinel of `task_index_`.
TASK_INDEX = benchmark.task_index(
    DATASETS, {"ax": "mnli", "mnli_matched": "mnli", "mnli_mismatched": "mnli"}
)
MNLI_AND_DEV = ("mnli", "mnli_mismatched", "mnli_matched")


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    for version, tfds_version in VERSIONS.items():
        # T5 itself has no tasks of version 2.0.0.
        leave_out = (benchmark.PLAIN,) if version == "v200" else ()
        for name, dataset in DATASETS.items():
            yield from benchmark.variants(
                f"glue_{name}_{version}",
                f"glue/{name}:{tfds_version}",
                dataset,
                TASK_INDEX[name],
                leave_out,
            )
        for model in task_spec.MODELS:
            for marker in benchmark.MARKERS:
                yield task_spec.MixtureSpec.equal(
                    f"{model}{marker}glue_mnli_and_dev_{version}_examples",
                    [f"{model}{marker}glue_{n}_{version}_examples" for n in MNLI_AND_DEV],
                    model,
                )
