# SPDX-License-Identifier: Apache-2.0
"""Shows where the knowledge of a prompt comes from.

  tools/bazel run //prompt_tuning/bundled:controls

Tunes the same prompts on three sets of frozen weights and prints the table of README.md:
  * the bundled checkpoint;
  * a model pre-trained in the same way on a world in which the B words have the opposite polarity;
  * random weights.
The training set of the prompts is the same each time and has no B word, so whatever differs on the
B words comes from the frozen weights. The second model is pre-trained here, which takes five to ten
minutes, unless its folder has a checkpoint.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from absl import app, flags
from rich import console, table

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import probes, recipe, tiny_model, tuning
from prompt_tuning.checkpoints import t5x_format
from prompt_tuning.models import network

_SEEDS = flags.DEFINE_integer("seeds", 5, "Prompts per set of weights.", lower_bound=1)
_BUNDLED = flags.DEFINE_string(
    "checkpoint", bundled.checkpoint_path(), "The checkpoint that is called bundled in the table."
)
_FLIPPED_DIR = flags.DEFINE_string(
    "flipped_model_dir",
    os.path.join(tempfile.gettempdir(), "prompt_tuning_flipped_world"),
    "Where the flipped model is, or is written to.",
)

Params = Mapping[str, np.ndarray]


def flipped_params(model_dir: str) -> Params:
    """The parameters of the flipped model, pre-trained first if `model_dir` has none."""
    if t5x_format.latest_step(model_dir) is None:
        recipe.write_checkpoint(recipe.Recipe(flipped_b=True), model_dir)
    return tiny_model.checkpoint_params(model_dir)


def random_params() -> Params:
    """Fresh parameters of the same sizes."""
    module = network.Transformer(tiny_model.config())
    return jax.device_get(tiny_model.initial_params(module, seed=1))


def row(name: str, plain: probes.Scores, results: Sequence[tuning.Result]) -> list[str]:
    """The cells of one set of weights, in the order of the columns of `print_table`."""
    tested = [result.test.accuracy for result in results]
    return [
        name,
        f"{plain.accuracy:.3f}",
        f"{plain.auc:.3f}",
        f"{plain.exact_match:.3f}",
        f"{np.mean(tested):.3f}",
        f"{min(tested):.3f} - {max(tested):.3f}",
        f"{np.mean([result.test.exact_match for result in results]):.3f}",
        f"{np.mean([result.validation.accuracy for result in results]):.3f}",
    ]


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints the rows of `row` under their headings."""
    output = table.Table(
        title="Prompts of length 20, test on the B words, validation on the A words"
    )
    for heading in (
        "frozen weights",
        "no prompt: accuracy",
        "AUC",
        "exact match",
        "prompt: accuracy",
        "range",
        "exact match",
        "validation",
    ):
        output.add_column(heading)
    for cells in rows:
        output.add_row(*cells)
    console.Console().print(output)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"Arguments {argv[1:]} are not understood; see --help for the flags.")
    weights = {
        "bundled": lambda: tiny_model.checkpoint_params(_BUNDLED.value),
        "B words flipped": lambda: flipped_params(_FLIPPED_DIR.value),
        "random": random_params,
    }
    rows = []
    for name, load in weights.items():
        params = load()
        results = [tuning.tune(params, tuning.Recipe(seed=seed)) for seed in range(_SEEDS.value)]
        rows.append(row(name, tuning.without_prompt(params), results))
    print_table(rows)


if __name__ == "__main__":
    app.run(main)
