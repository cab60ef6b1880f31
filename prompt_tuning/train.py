# SPDX-License-Identifier: Apache-2.0
"""Trains a soft prompt for a frozen T5: flags, gin files, one call of `runs.train_run.train`."""

from types import ModuleType

from prompt_tuning.config import aliases, program

PROGRAM = program.Program(
    name="train",
    entry_point="train",
    summary=(
        "Trains a soft prompt for a frozen T5 and reports what it is worth. Without any flag: a "
        "prompt for the bundled model on its synthetic reviews, offline, in about a minute."
    ),
    examples=(
        ("See it work:", "tools/bazel run //prompt_tuning:train"),
        (
            "Your own labelled text, a header line with the columns text and label:",
            "tools/bazel run //prompt_tuning:train -- --train_file=train.tsv \\\n"
            "  --validation_file=dev.tsv --label_words=negative,positive --model_dir=runs/mine",
        ),
        (
            "The paper's recipe on a T5 1.1 checkpoint, spelled in gin:",
            "tools/bazel run //prompt_tuning:train -- \\\n"
            "  --gin_file=prompt_tuning/configs/models/t5_1_1_base_prompt.gin \\\n"
            "  --gin_file=prompt_tuning/configs/prompts/from_class_labels.gin \\\n"
            "  --gin_file=prompt_tuning/configs/runs/prompt_finetune.gin \\\n"
            "  --gin.CLASS_LABELS=\"['negative', 'positive']\" --gin.MODEL_DIR=\"'runs/sst2'\" \\\n"
            "  --gin.MIXTURE_OR_TASK_NAME=\"'taskless_glue_sst2_v200_examples'\" \\\n"
            "  --gin.MIXTURE_OR_TASK_MODULE=\"'prompt_tuning.data.tasks'\" \\\n"
            "  --gin.TASK_FEATURE_LENGTHS=\"{'inputs': 512, 'targets': 8}\" \\\n"
            "  --gin.INITIAL_CHECKPOINT_PATH=\"'t5_1_1_lm100k_base/checkpoint_1100000'\" \\\n"
            "  --gin.TRAIN_STEPS=1130000 --gin.BATCH_SIZE=32 --gin.USE_CACHED_TASKS=False",
        ),
    ),
)


def __getattr__(name: str) -> ModuleType:
    """Upstream's `from prompt_tuning.train import prompts`: its package has this program's name."""
    return aliases.module(f"prompt_tuning.train.{name}")


if __name__ == "__main__":
    program.main(PROGRAM)
