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
            "Lines from a pipe, answered as they come by the more likely label:",
            "tools/bazel run //prompt_tuning:infer -- --model_dir=runs/mine --input_file=- \\\n"
            "  --label_words=negative,positive < new.txt",
        ),
        (
            "Rows with columns, from a pipe too: the header names the text or the label.",
            "tools/bazel run //prompt_tuning:infer -- --model_dir=runs/mine --input_file=- < dev.tsv",
        ),
        (
            "Many tasks in one batch: the column prompt of each row names its prompt. A row with an\n"
            "  error gets it in its record; an interrupted run goes on when it is started again:",
            "tools/bazel run //prompt_tuning:infer -- --prompt=sst2=sst2.npy --prompt=mrpc=runs/mrpc \\\n"
            "  --input_file=rows.jsonl --output_file=answers.jsonl",
        ),
        (
            "Five prompts of one task as an ensemble:",
            "tools/bazel run //prompt_tuning:infer -- --prompt=1=a.npy --prompt=2=b.npy ... \\\n"
            "  --ensemble --label_words=negative,positive --input_file=new.txt",
        ),
        (
            "Three samples for each row, or a beam of four:",
            "tools/bazel run //prompt_tuning:infer -- --model_dir=runs/mine --input_file=new.txt \\\n"
            "  --num_decodes=3 --all_decodes --temperature=0.7 --top_p=0.9\n"
            "tools/bazel run //prompt_tuning:infer -- --model_dir=runs/mine --input_file=new.txt \\\n"
            "  --num_decodes=4",
        ),
        (
            "The first of eight shards of a SeqIO task, on a T5 1.1 checkpoint:",
            "tools/bazel run //prompt_tuning:infer -- --model=t5_1_1_base --prompt_file=p.npy \\\n"
            "  --initial_checkpoint=t5_1_1_lm100k_base/checkpoint_1100000 --output_dir=results \\\n"
            "  --task=taskless_glue_sst2_v200_examples --num_shards=8 --shard_id=0",
        ),
        (
            "Scores of given targets instead of answers:",
            "tools/bazel run //prompt_tuning:infer -- --model_dir=runs/mine --test_file=test.tsv \\\n"
            "  --output_dir=results --gin.infer.mode=\"'score'\"",
        ),
    ),
)

if __name__ == "__main__":
    program.main(PROGRAM)
