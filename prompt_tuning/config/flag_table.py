# SPDX-License-Identifier: Apache-2.0
"""Which flag sets which gin macro: the table behind `friendly_flags`, and nothing else."""

from collections.abc import Callable
from typing import Any

from prompt_tuning.config import dataset_config, friendly_flag, infer_flags

BUNDLED = "bundled"
BUNDLED_TASK = "bundled_reviews"
_SIZES = ("small", "base", "large", "xl", "xxl")
MODELS = (BUNDLED, *(f"{family}_{size}" for family in ("t5_1_1", "mt5") for size in _SIZES))

# What --base_model uses: the sizes come from the model itself.
ANY_SIZE = "t5_1_1"

# {value of --prompt_init: gin file below prompts/, or None for the model file's own start}
PROMPT_FILES = {
    "class_labels": "from_class_labels",
    "sampled_vocab": "from_sampled_vocab",
    "uniform": None,
    "string": "from_string",
    "file": "from_file",
    "peft_random": "peft_random",
    "peft_sample_vocab": "peft_sample_vocab",
    "peft_text": "peft_text",
}

# The entry points, by the names that gin files bind.
TRAIN, EVALUATE, INFER = friendly_flag.TRAIN, friendly_flag.EVALUATE, friendly_flag.INFER
ALL = friendly_flag.ALL
Target = friendly_flag.Target
FriendlyFlag = friendly_flag.FriendlyFlag
_fixed, _flag = friendly_flag.fixed, friendly_flag.flag


def _below(folder: str) -> Callable[[Any], str]:
    return lambda model_dir: repr(f"{model_dir.rstrip('/')}/{folder}")


def _file_flag(split: str) -> FriendlyFlag:
    return _flag(
        f"{split}_file",
        "string",
        f"The {split} rows: a TSV, CSV, JSONL or Parquet file, or a folder that HuggingFace "
        "datasets saved.",
        "none",
        f"{split.upper()}_FILE",
        # A later file wins: the table at the end is about the test rows where there are some.
        Target("FINAL_EVAL_SPLIT", _fixed(repr(None if split == "train" else split))),
        Target("MIXTURE_OR_TASK_NAME", _fixed(repr(dataset_config.FILE_TASK_NAME))),
    )


TABLE: tuple[FriendlyFlag, ...] = (
    _flag(
        "model",
        "string",
        f"{BUNDLED}, t5_1_1_SIZE or mt5_SIZE with SIZE one of {', '.join(_SIZES)}; chooses the gin "
        "files where no --gin_file is given.",
        BUNDLED,
    ),
    _flag(
        "model_dir",
        "string",
        "Folder of the run: checkpoints, numpy prompts, metrics, config.gin.",
        "for the bundled model a new folder below prompt_tuning_runs",
        "MODEL_DIR",
        programs=(TRAIN,),
    ),
    _flag(
        "model_dir",
        "string",
        "MODEL_DIR of a training run: its latest prompt is used, and the results are put there.",
        "none",
        "PROMPT_FILE",
        Target("EVAL_OUTPUT_DIR", _below("eval")),
        Target("INFER_OUTPUT_DIR", _below("infer")),
        programs=(EVALUATE, INFER),
    ),
    *infer_flags.TABLE,
    _flag(
        "output_dir",
        "string",
        "Folder of the results.",
        "eval or infer below --model_dir",
        "EVAL_OUTPUT_DIR",
        "INFER_OUTPUT_DIR",
        programs=(EVALUATE, INFER),
    ),
    _flag(
        "initial_checkpoint",
        "string",
        "Checkpoint of the frozen model in T5X's format, or a HuggingFace folder.",
        "the bundled model's",
        "INITIAL_CHECKPOINT_PATH",
        "CHECKPOINT_PATH",
    ),
    _flag(
        "base_model",
        "string",
        "The frozen model, which tells its own architecture: a HuggingFace T5 folder or hub name, or "
        "a T5X checkpoint. Stands for --model and --initial_checkpoint.",
        "the bundled model",
        "INITIAL_CHECKPOINT_PATH",
        "CHECKPOINT_PATH",
    ),
    _flag(
        "vocabulary",
        "string",
        "SentencePiece model file.",
        "the model's own: bundled, spiece.model of a HuggingFace folder, or T5's public one",
        "seqio.SentencePieceVocabulary.sentencepiece_model_file",
    ),
    _flag(
        "task",
        "string",
        "Name of a SeqIO task or mixture.",
        "bundled_reviews, or file_task with --train_file",
        "MIXTURE_OR_TASK_NAME",
    ),
    _file_flag("train"),
    _file_flag("validation"),
    _file_flag("test"),
    _flag(
        "text_column",
        "list",
        "Names or numbers of the columns with text, comma-separated.",
        "the fields of --input_template, or the one column that is not the label",
        Target("TEXT_COLUMNS", lambda names: repr([_column(name) for name in names])),
    ),
    _flag(
        "label_column",
        "string",
        "Name or number of the column with the label.",
        "label",
        Target("LABEL_COLUMN", lambda name: repr(_column(name))),
    ),
    _flag(
        "label_words",
        "list",
        "The labels in order, comma-separated: what the model answers, and where the prompt starts "
        "with --prompt_init=class_labels.",
        "what the label column holds",
        "LABEL_WORDS",
        "CLASS_LABELS",
    ),
    _flag(
        "input_template",
        "string",
        "How columns become one input, for example '{premise} {hypothesis}'.",
        "the text column alone",
        "INPUT_TEMPLATE",
    ),
    _flag(
        "label_scores_per_token",
        "boolean",
        "Compare labels by their log-likelihood for each token, so that long ones are not at a "
        "disadvantage.",
        "false",
        "LABEL_SCORES_PER_TOKEN",
    ),
    _flag(
        "prompts",
        "list",
        "Several prompts to compare, comma-separated, each as --prompt_file or a --model_dir.",
        "the one of --prompt_file",
        "PROMPTS",
        Target("PROMPT_FILE", lambda paths: repr(paths[0])),
        programs=(EVALUATE,),
    ),
    _flag(
        "tasks",
        "list",
        "Several tasks to compare prompts on, comma-separated.",
        "the one of --task",
        "TASKS",
        Target("MIXTURE_OR_TASK_NAME", lambda names: repr(names[0])),
        programs=(EVALUATE,),
    ),
    _flag(
        "skip_bad_rows",
        "boolean",
        "Leave out and count rows that cannot be used, instead of stopping at the first.",
        "false",
        "SKIP_BAD_ROWS",
    ),
    _flag(
        "prompt_length",
        "integer",
        "Number of prompt positions.",
        "100; bundled 20",
        "PROMPT_LENGTH",
    ),
    _flag(
        "prompt_init",
        "string",
        f"Where the prompt starts: {', '.join(PROMPT_FILES)}.",
        "class_labels with --label_words, else sampled_vocab",
        programs=(TRAIN,),
    ),
    _flag(
        "prompt_file",
        "string",
        "The prompt: an npy file, a numpy_checkpoints folder, a MODEL_DIR, a checkpoint, a PEFT "
        "adapter or a prompt artifact.",
        "none",
        "PROMPT_FILE",
        "START_FILE",
    ),
    _flag(
        "artifact_file",
        "string",
        "Also write the trained prompt here (NAME.tar), with its model card and what it belongs to.",
        "none",
        "ARTIFACT_FILE",
        programs=(TRAIN,),
    ),
    _flag(
        "prompt_string",
        "string",
        "The text of --prompt_init=string and peft_text.",
        "none",
        "PROMPT_STRING",
        programs=(TRAIN,),
    ),
    _flag(
        "train_steps",
        "integer",
        "Training steps of this run, not counting the checkpoint's own.",
        "30000; bundled 150",
        "TRAIN_STEPS_RELATIVE",
        Target("TRAIN_STEPS", _fixed("None")),
        programs=(TRAIN,),
    ),
    _flag("batch_size", "integer", "Examples in a batch.", "32", "BATCH_SIZE", programs=(TRAIN,)),
    _flag(
        "batch_size",
        "integer",
        "Examples in a batch.",
        "32",
        "utils.DatasetConfig.batch_size",
        programs=(EVALUATE, INFER),
    ),
    _flag(
        "learning_rate",
        "float",
        "Learning rate.",
        "0.3, constant",
        "utils.create_learning_rate_scheduler.base_learning_rate",
        programs=(TRAIN,),
    ),
    _flag(
        "seed",
        "integer",
        "Seed of the prompt's start, of dropout and of the order of the examples.",
        "the clock; bundled 0",
        "RANDOM_SEED",
        "train/utils.DatasetConfig.seed",
        programs=(TRAIN,),
    ),
    _flag("dropout_rate", "float", "Dropout.", "0.1; bundled 0.0", "DROPOUT_RATE"),
    _flag(
        "activation_dtype",
        "string",
        "float32 or bfloat16; parameters are float32 always.",
        "bfloat16; bundled float32",
        "ACTIVATION_DTYPE",
    ),
    _flag(
        "inputs_length",
        "integer",
        "Longest input in tokens; longer ones are cut.",
        "512; bundled 64",
        "INPUTS_LENGTH",
    ),
    _flag(
        "targets_length",
        "integer",
        "Longest target in tokens; longer ones are cut.",
        "8; bundled 4",
        "TARGETS_LENGTH",
    ),
    _flag(
        "split",
        "string",
        "Split of the task.",
        "test",
        "utils.DatasetConfig.split",
        programs=(EVALUATE, INFER),
    ),
    _flag(
        "eval_period",
        "integer",
        "Steps between evaluations.",
        "1000; bundled 50",
        "EVAL_PERIOD",
        programs=(TRAIN,),
    ),
    _flag(
        "checkpoint_period",
        "integer",
        "Steps between checkpoints.",
        "1000; bundled 50",
        "utils.SaveCheckpointConfig.period",
        programs=(TRAIN,),
    ),
    _flag(
        "keep",
        "integer",
        "How many checkpoints to keep; all numpy prompts stay.",
        "1",
        "utils.SaveCheckpointConfig.keep",
        programs=(TRAIN,),
    ),
    _flag(
        "best_metric",
        "string",
        "Keep and report the prompt that is best by this on the validation examples: accuracy, "
        "auc, exact_match, loss, or a metric of the task.",
        "none: the last prompt",
        "BEST_METRIC",
        programs=(TRAIN,),
    ),
    _flag(
        "early_stopping",
        "integer",
        "End after so many evaluations without a better --best_metric.",
        "never",
        "EARLY_STOPPING",
        programs=(TRAIN,),
    ),
    _flag(
        "baseline",
        "string",
        "none, or model_tuning to tune the whole model too and compare.",
        "none",
        "BASELINE",
        programs=(TRAIN,),
    ),
)


def _column(name: str) -> str | int:
    return int(name) if name.isdigit() else name
