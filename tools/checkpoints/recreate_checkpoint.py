# SPDX-License-Identifier: Apache-2.0
"""Makes the checkpoint of an earlier step again, from the numpy prompt of that step.

  tools/bazel run //tools/checkpoints:recreate_checkpoint -- --model_dir=/runs/sst2 --step=1120000 \\
    --initial_checkpoint=/models/t5_1_1_base/checkpoint_1100000 --output_dir=/runs/sst2_best

A run keeps the numpy prompts of all periods but few checkpoints. This takes the newest checkpoint of
--model_dir, puts the prompts of --step in, and writes checkpoint_<step>. With --initial_checkpoint
the frozen weights go in as well, which makes a whole model of it. The optimizer's state stays that
of the newest checkpoint, so the result is to be evaluated and not to be trained on.

Upstream's spelling is understood too: --gin_bindings="recreate_checkpoint.step = 1120000" (or
--gin.recreate_checkpoint.step=1120000). A model is not needed, so --gin_file and
--gin_search_paths are accepted without effect.
"""

import ast
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from prompt_tuning.checkpoints import prompt_files, t5x_format
from tools.checkpoints import command_line

MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of the training run.")
STEP = flags.DEFINE_integer("step", None, "Step of the numpy prompts.", lower_bound=0)
OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Where checkpoint_<step> goes; default: --model_dir."
)
INITIAL_CHECKPOINT = flags.DEFINE_string(
    "initial_checkpoint", None, "The frozen model, for what the run's checkpoints do not hold."
)
SAVE_DTYPE = flags.DEFINE_enum(
    "save_dtype", "float32", ["float32", "bfloat16"], "Data type of the parameters in the file."
)
GIN_BINDINGS = flags.DEFINE_multi_string(
    "gin_bindings", [], "recreate_checkpoint.NAME = VALUE for a flag NAME; others do nothing."
)
flags.DEFINE_multi_string("gin_file", [], "Without effect.")
flags.DEFINE_list("gin_search_paths", [], "Without effect.")

_CONFIGURABLE = "recreate_checkpoint."
_STATES = "state/param_states/"


def recreate(
    model_dir: str,
    step: int,
    output_dir: str | None = None,
    initial_checkpoint: str | None = None,
    save_dtype: str = "float32",
) -> str:
    """Writes the checkpoint of `step`; returns its folder.

    Raises:
      FileNotFoundError: the run has no checkpoint, or no numpy prompt of that step.
      ValueError: a prompt belongs to no parameter or has another shape; the step is there already.
    """
    prompts = prompt_files.read_numpy_prompts(model_dir, step)
    newest = t5x_format.open_checkpoint(model_dir)
    leaves = dict(newest.target())
    if initial_checkpoint:
        leaves = t5x_format.open_checkpoint(initial_checkpoint).target() | leaves
    _check(prompts, leaves, newest.directory)
    target = t5x_format.read_arrays({k: v for k, v in leaves.items() if k not in prompts})
    states = {k: v for k, v in newest.leaves.items() if k.startswith(_STATES)}
    slots = t5x_format.read_arrays(states)
    path = t5x_format.write_checkpoint(
        output_dir or model_dir,
        step,
        dict(sorted((target | prompts).items())),
        {name.removeprefix(_STATES): value for name, value in slots.items()},
        save_dtype=save_dtype,
    )
    if path is None:
        raise ValueError(
            f"{output_dir or model_dir} has a checkpoint of step {step} already; set another "
            "--output_dir."
        )
    return path


def _check(prompts: Mapping[str, np.ndarray], leaves: Mapping[str, Any], directory: str) -> None:
    for name, prompt in prompts.items():
        if name not in leaves or tuple(leaves[name].shape) != prompt.shape:
            found = f"shape {tuple(leaves[name].shape)}" if name in leaves else "no such parameter"
            raise ValueError(
                f"the numpy prompt {name} has shape {prompt.shape}, but {directory} has {found}; "
                "give the --model_dir of one run."
            )


def bound(bindings: Sequence[str]) -> dict[str, Any]:
    """The values that gin bindings give to upstream's configurable.

    Raises:
      ValueError: a value is no literal.
    """
    values = {}
    for binding in bindings:
        name, _, text = (part.strip() for part in binding.partition("="))
        name = name.rpartition("/")[2]
        if _CONFIGURABLE not in name:
            continue  # Of the model, which is not needed.
        try:
            values[name.rpartition(".")[2]] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ValueError(
                f"--gin_bindings has {binding!r}; its value must be a literal, text in quotes."
            ) from None
    return values


def with_gin_flags(argv: Sequence[str]) -> list[str]:
    """T5X's short form of a binding, --gin.NAME=VALUE, as --gin_bindings=NAME = VALUE."""
    prefix = "--gin."
    return [
        "--gin_bindings=" + " = ".join(arg.removeprefix(prefix).split("=", 1))
        if arg.startswith(prefix)
        else arg
        for arg in argv
    ]


def main(argv: Sequence[str]) -> None:
    """Makes the checkpoint."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    given = bound(GIN_BINDINGS.value)
    given.pop("concurrent_gb", None)  # A limit on memory that reading file by file does not need.
    given.pop("model", None)
    known = (MODEL_DIR, STEP, OUTPUT_DIR, INITIAL_CHECKPOINT, SAVE_DTYPE)
    settings = {flag.name: given.pop(flag.name, flag.value) for flag in known}
    if given:
        raise app.UsageError(f"recreate_checkpoint has no {min(given)!r} to bind.")
    for name in ("model_dir", "step"):
        if settings[name] is None:
            raise app.UsageError(f"--{name} is not set.")
    path = recreate(**settings)
    print(f"{path}: the newest checkpoint of {settings['model_dir']} with the prompts of this step")


if __name__ == "__main__":
    sys.argv[1:] = with_gin_flags(sys.argv[1:])
    command_line.run(main)
