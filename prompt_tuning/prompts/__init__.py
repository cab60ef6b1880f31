# SPDX-License-Identifier: Apache-2.0
"""Soft prompts: the parameter, its first values, its place among the tokens, and what may see it.

The names below are the ones that google-research/prompt-tuning offers as `prompt_tuning.prompts`,
so gin files that say `prompts.from_embedded_list` or `prompts.Prompt` keep their meaning. The
placement (upstream's `prompt_tuning.train.prompts`) is the module `combine` here.
"""

from prompt_tuning.prompts.initializers import (
    Initializer,
    from_array,
    from_embedded_list,
    from_embedded_string,
    from_sample_of_embeddings,
    np_load,
    t5x_load,
)
from prompt_tuning.prompts.prompt import InferenceOnlyPrompt, Prompt, expand_to_batch

__all__ = [
    "InferenceOnlyPrompt",
    "Initializer",
    "Prompt",
    "expand_to_batch",
    "from_array",
    "from_embedded_list",
    "from_embedded_string",
    "from_sample_of_embeddings",
    "np_load",
    "t5x_load",
]
