# SPDX-License-Identifier: Apache-2.0
"""Pre-trains the bundled model from a fixed seed.

  tools/bazel run //prompt_tuning/bundled:pretrain

It takes five to ten minutes on one core. The same seed gives the same text and the same first
weights everywhere; the last bits of the result depend on the machine and its number of cores.
"""

import os

from absl import app, flags, logging

from prompt_tuning.bundled import bundled
from prompt_tuning.bundled.pretraining import recipe

_MODEL_DIR = flags.DEFINE_string(
    "model_dir",
    os.path.join(bundled.source_folder(), bundled.MODEL_NAME),
    "Where to write checkpoint_<steps>; there must be none of that step.",
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(
            f"Arguments {argv[1:]} are not understood; the folder is set by --model_dir."
        )
    logging.info("Wrote %s.", recipe.write_checkpoint(recipe.Recipe(), _MODEL_DIR.value))


if __name__ == "__main__":
    app.run(main)
