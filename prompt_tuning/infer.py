# SPDX-License-Identifier: Apache-2.0
"""Writes the answers of a prompted T5: flags, gin files, one call of `runs.infer_run.infer`."""

from prompt_tuning.config import program

PROGRAM = program.Program(
    name="infer",
    entry_point="infer",
    summary="Writes what a frozen T5 with a trained prompt answers, one JSON line per example.",
    examples=(
        (
            "The latest prompt of a training run, on the bundled task:",
            "tools/bazel run //prompt_tuning:infer -- --model_dir=prompt_tuning_runs/RUN",
        ),
        (
            "Lines of text from a pipe, answered by the more likely label:",
            "tools/bazel run //prompt_tuning:infer -- --model_dir=runs/mine --input_file=- \\\n"
            "  --label_words=negative,positive < new.txt",
        ),
        (
            "Scores of given targets instead of answers, on a T5 1.1 checkpoint:",
            "tools/bazel run //prompt_tuning:infer -- --model=t5_1_1_base \\\n"
            "  --initial_checkpoint=t5_1_1_lm100k_base/checkpoint_1100000 --prompt_file=p.npy \\\n"
            "  --test_file=test.tsv --output_dir=results --gin.infer.mode=\"'score'\"",
        ),
    ),
)

if __name__ == "__main__":
    program.main(PROGRAM)
