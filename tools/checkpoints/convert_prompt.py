# SPDX-License-Identifier: Apache-2.0
"""Turns prompts into PEFT adapters, and adapters into prompts.

  tools/bazel run //tools:convert_prompt -- \\
    --input=/runs/sst2 --base_model=/models/t5-base-lm-adapt --output=/models/sst2_adapter
  tools/bazel run //tools:convert_prompt -- \\
    --input=/models/sst2_adapter --output=/prompts/sst2.npy

An adapter as --input becomes an npy file; anything that holds a prompt becomes an adapter: a run's
folder, an npy file, a T5X checkpoint with a prompt. Several --input become one adapter with a task
for each (MULTITASK_PROMPT_TUNING), and --task names the one to take out of such an adapter.
"""

import os
from collections.abc import Sequence

import numpy as np
from absl import app, flags

from prompt_tuning.checkpoints import (
    huggingface_config,
    huggingface_download,
    peft_adapter,
    prompt_files,
)
from tools.checkpoints import command_line, variables

INPUT = flags.DEFINE_multi_string("input", [], "Prompt or adapter; repeatable for prompts.")
OUTPUT = flags.DEFINE_string("output", None, "New adapter's folder, or the npy file.")
BASE_MODEL = flags.DEFINE_string(
    "base_model", None, "HuggingFace folder or hub name of the model that an adapter is for."
)
TASK = flags.DEFINE_integer("task", None, "Which task of a multitask adapter.", lower_bound=0)


def import_adapter(path: str, output: str, task: int | None = None) -> str:
    """Writes the npy file; returns a sentence on it.

    Raises:
      FileNotFoundError, ValueError: from `peft_adapter.read_adapter`, or no such task.
    """
    adapter = peft_adapter.read_adapter(path)
    try:
        prompt = adapter.prompt(task)
    except ValueError as error:
        raise ValueError(f"{error} Set --task.") from error
    variables.save_array(output, prompt)
    notes = "".join(f"\nleft out: {note}" for note in adapter.notes)
    base = f" for {adapter.base_model}" if adapter.base_model else ""
    return f"{output}: {len(prompt)} positions of width {prompt.shape[1]}{base}{notes}"


def export_prompts(inputs: Sequence[str], base_model: str, output: str) -> str:
    """Writes the adapter; returns a sentence on it.

    Raises:
      FileNotFoundError, ValueError: an input is no prompt, or does not fit the model.
    """
    sizes = huggingface_config.read_config(huggingface_download.local_folder(base_model)).sizes
    prompts = [prompt_files.read_prompt(path) for path in inputs]
    for path, prompt in zip(inputs, prompts, strict=True):
        if prompt.shape[1] != sizes.emb_dim:
            raise ValueError(
                f"the prompt in {path} has width {prompt.shape[1]}, {base_model} has "
                f"{sizes.emb_dim}; set --base_model to the model it was trained for."
            )
        if prompt.shape != prompts[0].shape:
            raise ValueError(
                f"the prompt in {path} has {len(prompt)} positions, that in {inputs[0]} has "
                f"{len(prompts[0])}; an adapter's tasks have equal lengths. Change --input."
            )
    peft_adapter.write_adapter(
        output,
        prompts[0] if len(prompts) == 1 else np.stack(prompts),
        num_layers=sizes.num_encoder_layers,
        num_attention_heads=sizes.num_heads,
        # PEFT would look for a relative path below wherever it runs.
        base_model=os.path.abspath(base_model) if os.path.isdir(base_model) else base_model,
    )
    kind = peft_adapter.PROMPTS[0] if len(prompts) == 1 else peft_adapter.MULTITASK
    return f"{output}: {kind}, {len(prompts)} x {len(prompts[0])} positions for {base_model}"


def main(argv: Sequence[str]) -> None:
    """Converts one way or the other, as --input asks for it."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    inputs, output = command_line.required(INPUT), command_line.required(OUTPUT)
    adapters = [path for path in inputs if peft_adapter.is_adapter(path)]
    if adapters:
        if len(inputs) > 1:
            raise app.UsageError(f"{adapters[0]} is an adapter; it must be the only --input.")
        print(import_adapter(adapters[0], output, TASK.value))
        return
    if TASK.value is not None:
        raise app.UsageError(
            f"--task is {TASK.value}, but {inputs[0]} is no adapter; leave it out."
        )
    if not BASE_MODEL.value:
        raise app.UsageError("--base_model is not set; an adapter needs to know its sizes.")
    print(export_prompts(inputs, BASE_MODEL.value, output))


if __name__ == "__main__":
    command_line.run(main)
