# SPDX-License-Identifier: Apache-2.0
"""C4 with the noises of BART, and with random targets; none of these tasks is evaluated.

    c4_v220_bart_text_infilling  c4_v220_bart_token_deletion
    c4_v220_random_positive_negative_targets

Importing the module registers nothing; `tasks.ensure_registered` does, by name.
"""

import functools
from collections.abc import Iterator

import seqio

from prompt_tuning.data import task_spec, token_noise

_TEXT = functools.partial(seqio.preprocessors.rekey, key_map={"inputs": None, "targets": "text"})

TOKEN_STEPS = {
    "c4_v220_bart_text_infilling": (token_noise.text_infilling,),
    "c4_v220_bart_token_deletion": (token_noise.token_deletion,),
    # Prompts trained on it learn to answer one of two words and nothing about the text.
    "c4_v220_random_positive_negative_targets": (
        token_noise.prefix_lm,
        functools.partial(token_noise.random_targets, targets=("positive", "negative")),
    ),
}


def specs() -> Iterator[task_spec.TaskSpec]:
    """Every task of the module."""
    for name, steps in TOKEN_STEPS.items():
        yield task_spec.TaskSpec(
            name, "c4/en:2.2.0", (_TEXT,), tokens=steps, cache_before_tokens=True
        )
