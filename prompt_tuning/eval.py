# SPDX-License-Identifier: Apache-2.0
"""Evaluates a prompt on a frozen T5: flags, gin files, one call of `runs.eval_run.evaluate`."""

from prompt_tuning.config import program

PROGRAM = program.Program(
    name="eval",
    entry_point="evaluate",
    summary="Evaluates a trained prompt on a frozen T5 and writes metrics and predictions.",
    examples=(
        (
            "The latest prompt of a training run, on words that its training did not have:",
            "tools/bazel run //prompt_tuning:eval -- --model_dir=prompt_tuning_runs/RUN",
        ),
        (
            "Your own labelled text:",
            "tools/bazel run //prompt_tuning:eval -- --model_dir=runs/mine \\\n"
            "  --test_file=test.tsv --label_words=negative,positive",
        ),
        (
            "A prompt file on a T5 1.1 checkpoint:",
            "tools/bazel run //prompt_tuning:eval -- --model=t5_1_1_base \\\n"
            "  --initial_checkpoint=t5_1_1_lm100k_base/checkpoint_1100000 --prompt_file=p.npy \\\n"
            "  --test_file=test.tsv --label_words=negative,positive --output_dir=results",
        ),
    ),
)

if __name__ == "__main__":
    program.main(PROGRAM)
