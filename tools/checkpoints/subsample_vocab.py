# SPDX-License-Identifier: Apache-2.0
"""Draws rows of an embedding table and saves them as an initial prompt.

  tools/bazel run //tools/checkpoints:subsample_vocab -- \\
    --checkpoint_dir=/models/t5_1_1_base/checkpoint_1100000 \\
    --embeddings_path=token_embedder/embedding --prompt_length=50 --output_path=/models/prompt.npy

Rows are drawn with replacement, from the first --population_size ones: in T5's vocabulary those are
the most frequent tokens. The same seed gives the same rows. Train from the file with
configs/prompts/from_file.gin.
"""

from collections.abc import Sequence

import numpy as np
from absl import app, flags

from prompt_tuning.checkpoints import t5x_format
from tools.checkpoints import command_line, variables

CHECKPOINT_DIR = flags.DEFINE_string("checkpoint_dir", None, "The T5X checkpoint.")
EMBEDDINGS_PATH = flags.DEFINE_string(
    "embeddings_path",
    "target/encoder/prompt/prompt/prompt",
    "Name of the table, parts joined by `/`; a leading `/` or `target/` is optional. The "
    "vocabulary is at token_embedder/embedding.",
)
RESTORE_DTYPE = flags.DEFINE_enum(
    "restore_dtype", "float32", ["float32", "bfloat16"], "Data type of the values in the file."
)
OUTPUT_PATH = flags.DEFINE_string("output_path", None, "Where the file goes; no suffix is added.")
PROMPT_LENGTH = flags.DEFINE_integer("prompt_length", 100, "Rows to draw.", lower_bound=1)
POPULATION_SIZE = flags.DEFINE_integer(
    "population_size", 5000, "Draw from this many rows at the top; 0 or less: from all."
)
SEED = flags.DEFINE_integer("seed", 42, "Seed of the draw.")


def sample_rows(table: np.ndarray, length: int, population: int, seed: int) -> np.ndarray:
    """`length` rows of `table` [V, H], drawn with replacement from the first `population` ones.

    Raises:
      ValueError: the table is not two-dimensional, or has fewer rows than `population`.
    """
    if table.ndim != 2:
        raise ValueError(
            f"the array has shape {table.shape}; set --embeddings_path to a table of two "
            "dimensions."
        )
    rows = table.shape[0]
    if population > rows:
        raise ValueError(
            f"the table has {rows} rows; set --population_size to at most that, or to 0 for all."
        )
    drawn = np.random.default_rng(seed).choice(population if population > 0 else rows, length)
    return table[drawn]


def main(argv: Sequence[str]) -> None:
    """Reads the table, draws, writes."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    checkpoint = t5x_format.open_checkpoint(command_line.required(CHECKPOINT_DIR))
    table = variables.find_variable(checkpoint, EMBEDDINGS_PATH.value, "embeddings_path")
    prompt = sample_rows(
        table.get(RESTORE_DTYPE.value), PROMPT_LENGTH.value, POPULATION_SIZE.value, SEED.value
    )
    variables.save_array(command_line.required(OUTPUT_PATH), prompt)
    print(f"{OUTPUT_PATH.value}: {len(prompt)} rows of {table.name}, {RESTORE_DTYPE.value}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["checkpoint_dir", "output_path"])
    command_line.run(main)
