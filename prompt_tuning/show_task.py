# SPDX-License-Identifier: Apache-2.0
"""Shows what a training command would train on: the same flags, and nothing is trained."""

import importlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from prompt_tuning.config import program

_SPLIT = flags.DEFINE_string("split", None, "Split to show; default: the one that trains.")
_NUM_EXAMPLES = flags.DEFINE_integer("num_examples", 3, "Examples to print.", 0)
_MAX_EXAMPLES = flags.DEFINE_integer("max_examples", 10_000, "Examples to measure.", 1)

# By name: it loads TensorFlow, and mistakes in flags are found before that.
_MODULE = "prompt_tuning.runs.task_view"


def _report(settings: Mapping[str, Any]) -> str:
    return importlib.import_module(_MODULE).report(
        settings,
        split=_SPLIT.value,
        num_examples=_NUM_EXAMPLES.value,
        max_examples=_MAX_EXAMPLES.value,
    )


PROGRAM = program.Program(
    name="show_task",
    entry_point="train",
    summary=(
        "Shows the examples of a task as the model gets them: texts, ids, lengths, what is cut, how "
        "many of each label. Takes the flags of train, and --split, --num_examples (3) and "
        "--max_examples (10000)."
    ),
    examples=(
        (
            "Your own file:",
            "tools/bazel run //prompt_tuning:show_task -- --train_file=train.tsv \\\n"
            "  --label_words=negative,positive",
        ),
        (
            "A task over a public dataset, with the vocabulary of T5:",
            "tools/bazel run //prompt_tuning:show_task -- --model=t5_1_1_base \\\n"
            "  --task=taskless_glue_sst2_v200 --tfds_data_dir=tfds --split=validation",
        ),
    ),
    report=_report,
    # Nothing is read from or written to these; a gin file may require them all the same.
    assumed={"MODEL_DIR": "'.'", "INITIAL_CHECKPOINT_PATH": "'none://'", "TRAIN_STEPS": "1"},
)

if __name__ == "__main__":
    program.main(PROGRAM)
