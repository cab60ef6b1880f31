# SPDX-License-Identifier: Apache-2.0
"""Summaries: `xsum_v110_examples` and `cnn_dailymail_v310_examples`, measured by ROUGE.

Importing the module registers nothing; `tasks.ensure_registered` does, by name.
"""

import functools
from collections.abc import Iterator

from prompt_tuning.data import answer_metrics, postprocessors, task_spec, text_formats

# (name, TFDS's name, version in the task's name, feature of the text, feature of its summary)
DATASETS = (
    ("xsum", "xsum:1.1.0", "v110", "document", "summary"),
    ("cnn_dailymail", "cnn_dailymail:3.1.0", "v310", "article", "highlights"),
)


def specs() -> Iterator[task_spec.TaskSpec]:
    """Every task of the module."""
    for model in task_spec.MODELS:
        for name, dataset, version, article, summary in DATASETS:
            text = functools.partial(
                text_formats.summarize, article_key=article, summary_key=summary
            )
            yield task_spec.TaskSpec(
                f"{model}{name}_{version}_examples",
                dataset,
                (text,),
                model=model,
                # A summary never equals another, so wrong ones are not worth showing apart.
                **task_spec.with_examples(
                    name, postprocessors.identity, (answer_metrics.rouge,), {"find_negative": False}
                ),
            )
