# SPDX-License-Identifier: Apache-2.0
"""The flags that only `infer` has: where rows come from, their prompts, and how they are answered."""

from prompt_tuning.config import dataset_config, friendly_flag

_fixed, _Target = friendly_flag.fixed, friendly_flag.Target


def _first_path(prompts: list[str]) -> str:
    return repr(prompts[0].partition("=")[2])


def _flag(name, kind, help, default, *targets) -> friendly_flag.FriendlyFlag:
    programs = (friendly_flag.INFER,)
    return friendly_flag.flag(name, kind, help, default, *targets, programs=programs)


TABLE: tuple[friendly_flag.FriendlyFlag, ...] = (
    _flag(
        "input_file",
        "string",
        "Texts to answer: lines, or TSV, CSV or JSONL rows; - is standard input, of any of these.",
        "the examples of the task",
        "INPUT_FILE",
        _Target("TEST_FILE"),
        _Target("MIXTURE_OR_TASK_NAME", _fixed(repr(dataset_config.FILE_TASK_NAME))),
        _Target("INFER_OUTPUT_DIR", _fixed("None")),
    ),
    _flag(
        "input_format",
        "string",
        "What --input_file holds: lines, tsv, csv or jsonl.",
        "by the file's name; of standard input by its first line: a JSON object is jsonl, a header "
        "that names the text's columns (or the label's) is tsv or csv, all else is lines",
        "INPUT_FORMAT",
    ),
    _flag(
        "output_file",
        "string",
        "Where the answers to --input_file go, one JSON line each; - is standard output. A run that "
        "was interrupted goes on in a file where it was.",
        "-",
        "OUTPUT_FILE",
    ),
    _flag(
        "prompt",
        "strings",
        "NAME=PATH of a prompt that rows choose by its name; may be repeated, and the prompts may "
        "differ in length. With one prompt alone, rows need not name it.",
        "the one prompt of --model_dir or --prompt_file",
        "PROMPTS",
        # The model's own prompt is not used then, but gin wants its macros set.
        _Target("PROMPT_FILE", _first_path),
        _Target("prompts.Prompt.prompt_init", _fixed("@prompt_init/initializers.uniform()")),
    ),
    _flag(
        "prompt_column",
        "string",
        "The column of --input_file with the name of the row's prompt.",
        "prompt, if there is one",
        _Target("PROMPT_COLUMN", lambda name: repr(int(name) if name.isdigit() else name)),
    ),
    _flag(
        "default_prompt",
        "string",
        "Name of the --prompt of rows that name none.",
        "such rows get an error, unless there is only one prompt",
        "DEFAULT_PROMPT",
    ),
    _flag(
        "ensemble",
        "boolean",
        "All prompts answer each row in one pass: by majority, or with --label_words by their mean "
        "log-probabilities.",
        "false",
        "ENSEMBLE",
    ),
    _flag(
        "label_file",
        "string",
        "One label on each line: the answer is the likeliest of them, found by constrained decoding; "
        "for hundreds of labels.",
        "the scores of all --label_words",
        "LABEL_FILE",
    ),
    _flag(
        "num_decodes",
        "integer",
        "Answers to search for (the width of the beam) or to sample.",
        "1",
        "NUM_DECODES",
    ),
    _flag(
        "all_decodes",
        "boolean",
        "Write all of them, under others, and not only the best.",
        "false",
        "ALL_DECODES",
    ),
    _flag(
        "temperature",
        "float",
        "Sample with this temperature; 0 is greedy.",
        "beam search",
        "TEMPERATURE",
    ),
    _flag("top_k", "integer", "Sample among the k likeliest tokens.", "0, which is off", "TOP_K"),
    _flag(
        "top_p",
        "float",
        "Sample among the likeliest tokens that hold this share of probability.",
        "0, which is off",
        "TOP_P",
    ),
    _flag(
        "sampling_seed",
        "integer",
        "Seed of the samples; equal seeds give equal answers.",
        "0",
        "SAMPLING_SEED",
    ),
    _flag(
        "shard_id",
        "integer",
        "Which part of the examples to do, of --num_shards.",
        "0",
        "infer.shard_id",
    ),
    _flag(
        "num_shards",
        "integer",
        "How many runs share the examples.",
        "1",
        "infer.num_shards",
    ),
)
