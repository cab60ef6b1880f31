# SPDX-License-Identifier: Apache-2.0
"""Zero-shot transfer between QQP and MRPC: a model of one, evaluated on the other.

    glue_mrpc_from_qqp_v002_examples           validation of MRPC, answers in the words of QQP
    taskless_glue_mrpc_from_qqp_zeroshot_v002  trains on QQP, evaluates the task above

What differs from upstream: the forms without `_examples` translate the answers and give class ids;
upstream's use the postprocessor of another loop pass, whose dicts their metrics cannot read.
"""

import dataclasses
from collections.abc import Iterator

from prompt_tuning.data import benchmark, glue, postprocessors, task_spec

# (trained on, evaluated on) -> the words of the former in those of the latter.
TRANSLATIONS = {
    ("qqp", "mrpc"): postprocessors.qqp_to_mrpc,
    ("mrpc", "qqp"): postprocessors.mrpc_to_qqp,
}


def specs() -> Iterator[task_spec.Spec]:
    """Every task and mixture of the module."""
    for (source, target), translate in TRANSLATIONS.items():
        dataset = glue.DATASETS[target]
        yield from benchmark.variants(
            f"glue_{target}_from_{source}_v002",
            f"glue/{target}:1.0.0",
            dataclasses.replace(
                dataset,
                postprocess=postprocessors.sequential(translate, dataset.postprocess_fn),
                splits=("validation",),
            ),
            glue.TASK_INDEX[target],
        )
        for model, marker, suffix in benchmark.forms():
            yield task_spec.MixtureSpec.equal(
                f"{model}{marker}glue_{target}_from_{source}_zeroshot_v002{suffix}",
                [
                    f"{model}{marker}glue_{source}_v002",
                    f"{model}{marker}glue_{target}_from_{source}_v002{suffix}",
                ],
                model,
            )
