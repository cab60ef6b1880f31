# SPDX-License-Identifier: Apache-2.0
"""Turns a T5 of one format into another: T5X's native checkpoints, scanned or not, and HuggingFace's.

  tools/bazel run //tools:convert_checkpoint -- \\
    --input=/models/flan-t5-base --to=t5x --output=/models/t5x/flan_t5_base
  tools/bazel run //tools:convert_checkpoint -- \\
    --input=/runs/sst2/checkpoint_1100000 --to=huggingface --output=/models/mine \\
    --vocabulary=/models/sentencepiece.model

The format of --input is seen from what lies there: a HuggingFace folder or the name of a model of
the hub, or anything that is a T5X checkpoint. Values do not change unless --save_dtype says so.
Parameters only: optimizer states stay behind, and so does a prompt, which convert_prompt takes.
About 256 MiB, and no less than the largest array, are in memory at a time; with scanned layers an
array holds all layers.
"""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from absl import app, flags
from rich import console, progress

from prompt_tuning.checkpoints import (
    base_checkpoint,
    huggingface_config,
    huggingface_format,
    scanned_layers,
    t5x_format,
)
from prompt_tuning.checkpoints.lazy_array import LazyArray
from tools.checkpoints import command_line

FORMATS = ("t5x", "t5x_scanned", "huggingface")
INPUT = flags.DEFINE_string("input", None, "Folder of the model, or its name on the hub.")
OUTPUT = flags.DEFINE_string(
    "output", None, "New HuggingFace folder, or the folder that checkpoint_<step> goes into."
)
TO = flags.DEFINE_enum("to", None, FORMATS, "Format of --output.")
STEP = flags.DEFINE_integer(
    "step", None, "Step of a T5X checkpoint; default: the input's, 0 for HuggingFace's.", 0
)
SAVE_DTYPE = flags.DEFINE_enum(
    "save_dtype", "same", ["same", "float32", "bfloat16", "float16"], "Data type in the files."
)
VOCABULARY = flags.DEFINE_string(
    "vocabulary",
    None,
    "SentencePiece model to put beside HuggingFace's weights; default: the input's.",
)
FEED_FORWARD_PROJ = flags.DEFINE_enum(
    "feed_forward_proj",
    None,
    list(huggingface_config.ACTIVATIONS),
    "Activation of the MLP, which T5X's files do not tell; default: T5 1.1's or the original T5's.",
)
MODEL_TYPE = flags.DEFINE_enum(
    "model_type", None, huggingface_config.MODEL_TYPES, "HuggingFace's; default: the input's or t5."
)
SHARD_GB = flags.DEFINE_float("shard_gb", 5.0, "Largest file of --to=huggingface, in 10^9 bytes.")
flags.register_validator("shard_gb", lambda value: value > 0, message="it must be above 0")

_TARGET = "target/"


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters to convert, and what HuggingFace's files say beyond them.

    Attributes:
      parameters: unscanned, under T5X's names without `target/`.
      prompts: names of prompts that lay beside them.
      step: of a T5X checkpoint, else 0.
      config: of a HuggingFace folder, else None.
      vocabulary_file: of a HuggingFace folder, else None.
    """

    parameters: dict[str, LazyArray]
    prompts: tuple[str, ...]
    step: int
    config: huggingface_config.HuggingFaceConfig | None = None
    vocabulary_file: str | None = None


class _WatchedArray(LazyArray):
    """An array that tells how many bytes of it were read."""

    def __init__(self, source: LazyArray, on_bytes: Callable[[int], None]):
        super().__init__(source.name, source.shape, source.dtype)
        self._source, self._on_bytes = source, on_bytes

    def _read(self) -> np.ndarray:
        values = self._source.get()
        self._on_bytes(values.nbytes)
        return values


def open_model(path: str, step: int | None = None) -> Model:
    """Opens either format; reads no values.

    Raises:
      FileNotFoundError, ValueError: from the format's own reader; or there is only a prompt.
    """
    checkpoint = base_checkpoint.open_base(path, step)
    target = checkpoint.target()
    if isinstance(checkpoint, huggingface_format.HuggingFaceCheckpoint):
        return Model(target, (), 0, checkpoint.config, checkpoint.vocabulary_file)
    prompts = tuple(name for name in target if "prompt" in name.split("/"))
    parameters = {name: leaf for name, leaf in target.items() if name not in prompts}
    if not parameters:
        raise ValueError(
            f"{checkpoint.directory} holds a prompt and no model, which a run does not copy; give "
            "the model that the run started from: --input. convert_prompt takes prompts."
        )
    return Model(parameters, prompts, checkpoint.step)


def write_model(model: Model, output: str, to: str, on_bytes: Callable[[int], None]) -> str:
    """Writes the model as the flags say; returns the folder.

    Raises:
      FileExistsError, ValueError: from the format's own writer; or the step is there already.
    """
    parameters: Mapping[str, LazyArray] = {
        name: _WatchedArray(leaf, on_bytes) for name, leaf in model.parameters.items()
    }
    dtype = None if SAVE_DTYPE.value == "same" else SAVE_DTYPE.value
    known = vars(model.config) if model.config else {}
    if to == "huggingface":
        huggingface_format.write_checkpoint(
            output,
            parameters,
            feed_forward_proj=FEED_FORWARD_PROJ.value or known.get("feed_forward_proj"),
            model_type=MODEL_TYPE.value or known.get("model_type", "t5"),
            relative_attention_max_distance=known.get("relative_attention_max_distance", 128),
            save_dtype=dtype,
            shard_bytes=int(SHARD_GB.value * 10**9),
            vocabulary_file=VOCABULARY.value or model.vocabulary_file,
        )
        return output
    if os.path.exists(output) and not os.path.isdir(output):
        raise ValueError(f"{output} is a file; give the folder that checkpoint_<step> goes into.")
    if to == "t5x_scanned":
        leaves = {_TARGET + name: leaf for name, leaf in parameters.items()}
        stacked = scanned_layers.stack(leaves)
        parameters = {name.removeprefix(_TARGET): leaf for name, leaf in stacked.items()}
    step = model.step if STEP.value is None else STEP.value
    path = t5x_format.write_checkpoint(output, step, parameters, save_dtype=dtype)
    if path is None:
        raise ValueError(
            f"{output} has a checkpoint of step {step} already; set another --output or --step."
        )
    return path


def main(argv: Sequence[str]) -> None:
    """Converts, and says what was written."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    source, output, to = (command_line.required(flag) for flag in (INPUT, OUTPUT, TO))
    model = open_model(source, STEP.value)
    for name in model.prompts:
        print(f"left out: {name} (a model's format holds no prompt; see convert_prompt)")
    total = sum(leaf.size * leaf.dtype.itemsize for leaf in model.parameters.values())
    bar = progress.Progress(
        *progress.Progress.get_default_columns(),
        progress.DownloadColumn(),
        console=console.Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("converting", total=total)
        path = write_model(model, output, to, lambda done: bar.advance(task, done))
    count = sum(leaf.size for leaf in model.parameters.values())
    print(
        f"{path}: {len(model.parameters)} arrays, {count:,} parameters, {total / 1e9:.2f} GB read"
    )
    if to == "huggingface" and not (model.config or FEED_FORWARD_PROJ.value):
        written = huggingface_config.read_config(path).feed_forward_proj
        print(f"assumed: --feed_forward_proj={written}, which T5X's files do not tell")
    if model.vocabulary_file and to != "huggingface":
        print(f"vocabulary: {model.vocabulary_file}")


if __name__ == "__main__":
    command_line.run(main)
