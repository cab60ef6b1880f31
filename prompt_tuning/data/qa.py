# SPDX-License-Identifier: Apache-2.0
"""Question answering: SQuAD, and its transfer to the datasets of MRQA 2019.

    squad_v010_allanswers_examples   mrqa_bio_asq_v100_examples   squad_to_mrqa_examples

The out-of-domain datasets have no training split; their test split is the `validation` of the
task. Importing the module registers nothing; `tasks.ensure_registered` does, by name.
"""

from collections.abc import Iterator

from prompt_tuning.data import answer_metrics, metrics, postprocessors, task_spec, text_formats

OUT_OF_DOMAIN = ("bio_asq", "drop", "duo_rc", "race", "relation_extraction", "textbook_qa")
IN_DOMAIN = ("news_qa", "trivia_qa", "search_qa", "hotpot_qa", "natural_questions")

_FIELDS = ("targets_pretokenized", "context", "question", "answers")


def _measured(name: str) -> dict:
    return task_spec.with_examples(
        name,
        postprocessors.qa,
        (answer_metrics.squad,),
        {"format_fn": metrics.format_qa},
        example_fields=_FIELDS,
    )


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    for model in task_spec.MODELS:
        squad = f"{model}squad_v010_allanswers_examples"
        yield task_spec.TaskSpec(
            squad, "squad/v1.1:3.0.0", (text_formats.squad,), model=model, **_measured("squad")
        )
        for name in (*OUT_OF_DOMAIN, *IN_DOMAIN):
            yield task_spec.TaskSpec(
                f"{model}mrqa_{name}_v100_examples",
                f"mrqa/{name}:1.0.0",
                (text_formats.mrqa,),
                splits={"validation": "test"} if name in OUT_OF_DOMAIN else None,
                model=model,
                **_measured(name),
            )
        others = {name: f"{model}mrqa_{name}_v100_examples" for name in OUT_OF_DOMAIN}
        for name, other in others.items():
            yield task_spec.MixtureSpec.equal(
                f"{model}squad_to_{name}_examples", [squad, other], model
            )
        yield task_spec.MixtureSpec.equal(
            f"{model}squad_to_mrqa_examples", [squad, *others.values()], model
        )
