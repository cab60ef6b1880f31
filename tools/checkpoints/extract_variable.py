# SPDX-License-Identifier: Apache-2.0
"""Saves one parameter of a T5X checkpoint as an npy file.

  tools/bazel run //tools/checkpoints:extract_variable -- \\
    --checkpoint_dir=/models/t5_1_1_base/checkpoint_1100000 \\
    --variable_path=token_embedder/embedding --output_path=/models/embedding.npy

The checkpoint may be a model directory (its latest step), a folder checkpoint_<step>, or the file
`checkpoint` in it, local or gs://. Prompts are at encoder/prompt/prompt/prompt. A bfloat16 file
holds two-byte void values, because npy has no name for bfloat16;
`numpy.load(f).view(ml_dtypes.bfloat16)` reads it.
"""

from collections.abc import Sequence

from absl import app, flags

from prompt_tuning.checkpoints import t5x_format
from tools.checkpoints import command_line, variables

CHECKPOINT_DIR = flags.DEFINE_string("checkpoint_dir", None, "The T5X checkpoint.")
VARIABLE_PATH = flags.DEFINE_string(
    "variable_path",
    None,
    "Name of the parameter, parts joined by `/`; a leading `/` or `target/` is optional.",
)
RESTORE_DTYPE = flags.DEFINE_enum(
    "restore_dtype", "float32", ["float32", "bfloat16"], "Data type of the values in the file."
)
OUTPUT_PATH = flags.DEFINE_string("output_path", None, "Where the file goes; no suffix is added.")


def main(argv: Sequence[str]) -> None:
    """Reads the parameter, and nothing else of the checkpoint, and writes it."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    checkpoint = t5x_format.open_checkpoint(command_line.required(CHECKPOINT_DIR))
    name = command_line.required(VARIABLE_PATH)
    variable = variables.find_variable(checkpoint, name, "variable_path")
    variables.save_array(command_line.required(OUTPUT_PATH), variable.get(RESTORE_DTYPE.value))
    print(
        f"{OUTPUT_PATH.value}: {variable.name} of step {checkpoint.step}, "
        f"shape {list(variable.shape)}, {RESTORE_DTYPE.value}"
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["checkpoint_dir", "variable_path", "output_path"])
    command_line.run(main)
