# SPDX-License-Identifier: Apache-2.0
"""The source tasks of SPoT: prompts trained on them are where prompts of other tasks start.

    spot_glue_sst2_v200  spot_glue_mnli_and_dev_v200  spot_mrqa_news_qa_v100  spot_snli_v110
    spot_cnn_dailymail_v320 ...

The text begins with the name of the task. Importing the module registers nothing;
`tasks.ensure_registered` does, by name.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence

from prompt_tuning.data import (
    answer_metrics,
    benchmark,
    glue,
    metrics,
    postprocessors,
    task_spec,
    text_formats,
)

MRQA = ("squad", "news_qa", "trivia_qa", "search_qa", "hotpot_qa", "natural_questions")

_NLI = ("entailment", "neutral", "contradiction")
# {name: (TFDS's name, feature of the second text, labels)}; the first text is the hypothesis.
INFERENCE = {
    "anli_r1": ("anli/r1:0.1.0", "context", _NLI),
    "anli_r2": ("anli/r2:0.1.0", "context", _NLI),
    "anli_r3": ("anli/r3:0.1.0", "context", _NLI),
    "doc_nli": ("doc_nli:1.0.0", "premise", ("not_entailment", "entailment")),
    "snli": ("snli:1.1.0", "premise", _NLI),
}
# {name: (TFDS's name, feature of the text, feature of its summary)}
SUMMARIES = {
    "aeslc": ("aeslc:1.0.0", "email_body", "subject_line"),
    "billsum": ("billsum:3.0.0", "text", "summary"),
    "gigaword": ("gigaword:1.2.0", "document", "summary"),
    "cnn_dailymail": ("cnn_dailymail:3.2.0", "article", "highlights"),
    "multi_news": ("multi_news:1.0.0", "document", "summary"),
    "samsum": ("samsum:1.0.0", "dialogue", "summary"),
    "newsroom": ("newsroom:1.0.0", "text", "summary"),
}
# {part of a task's name: splits}: MNLI has two validation splits, which two tasks call validation.
_MNLI: dict[str, Sequence[str] | Mapping[str, str]] = {
    "train": ("train",),
    "validation_matched": {"validation": "validation_matched"},
    "validation_mismatched": {"validation": "validation_mismatched"},
}


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    yield from _glue()
    for name in MRQA:
        yield task_spec.TaskSpec(
            f"spot_mrqa_{name}_v100",
            f"mrqa/{name}:1.0.0",
            (functools.partial(text_formats.mrqa, task_name=name),),
            postprocess=postprocessors.qa,
            metric_fns=(answer_metrics.squad,),
        )
    for name, (dataset, text_b, labels) in INFERENCE.items():
        text = functools.partial(
            text_formats.text_classification,
            text_a_key="hypothesis",
            text_b_key=text_b,
            task_name=name,
            label_names=labels,
        )
        yield task_spec.TaskSpec(
            _name(name, dataset), dataset, (text,), metric_fns=(metrics.accuracy,)
        )
    for name, (dataset, article, summary) in SUMMARIES.items():
        text = functools.partial(
            text_formats.text_generation,
            source_key=article,
            target_key=summary,
            task_name=name,
            prefix="summarize:",
        )
        yield task_spec.TaskSpec(
            _name(name, dataset), dataset, (text,), metric_fns=(answer_metrics.rouge,)
        )


def _name(name: str, dataset: str) -> str:
    version = dataset.partition(":")[2].replace(".", "")
    return f"spot_{name}_v{version}"


def _glue() -> Iterator[task_spec.Spec]:
    for name, dataset in glue.DATASETS.items():
        if name != "ax" and not name.startswith("mnli"):
            yield _glue_task(f"spot_glue_{name}_v200", dataset)
    parts = {f"spot_glue_mnli_{part}_v200": splits for part, splits in _MNLI.items()}
    for name, splits in parts.items():
        yield _glue_task(name, glue.DATASETS["mnli"], splits)
    yield task_spec.MixtureSpec.equal("spot_glue_mnli_and_dev_v200", list(parts))


def _glue_task(
    name: str,
    dataset: benchmark.Dataset,
    splits: Sequence[str] | Mapping[str, str] | None = None,
) -> task_spec.TaskSpec:
    return task_spec.TaskSpec(
        name,
        f"glue/{dataset.name}:2.0.0",
        dataset.text_steps,
        postprocess=dataset.postprocess_fn,
        metric_fns=dataset.metric_fns,
        splits=splits,
    )
