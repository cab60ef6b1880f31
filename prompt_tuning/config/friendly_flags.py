# SPDX-License-Identifier: Apache-2.0
"""Flags with plain names for the gin macros that most runs set, and the gin files of a model.

A flag is a shorter spelling and nothing more: its bindings (`flag_table`) stand after the gin files
and before `--gin.` bindings, which win. Where the chosen files have none of a flag's macros, that
is an error and not silence.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from prompt_tuning.config import flag_table, gin_checks, gin_files, spelling

_CONFIGS = "prompt_tuning/configs"
MODEL_FLAGS = ("model", "prompt_init")  # They choose files and set nothing.
# They are about the user's rows alone; --label_words names the words that a prompt starts from, too.
_FILE_FLAGS = (
    "train_file",
    "validation_file",
    "test_file",
    "text_column",
    "label_column",
    "input_template",
    "label_scores_per_token",
    "skip_bad_rows",
)


def flags_of(entry_point: str) -> dict[str, flag_table.FriendlyFlag]:
    """The flags of a program by name."""
    return {flag.name: flag for flag in flag_table.TABLE if entry_point in flag.programs}


def define_flags(entry_point: str, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of a program that are not there yet; None stands for "not given"."""
    define: dict[str, Callable[..., Any]] = {
        "string": flags.DEFINE_string,
        "integer": flags.DEFINE_integer,
        "float": flags.DEFINE_float,
        "boolean": flags.DEFINE_bool,
        "list": flags.DEFINE_list,
        "strings": flags.DEFINE_multi_string,
    }
    for name, flag in flags_of(entry_point).items():
        if name in flag_values:
            continue
        define[flag.kind](name, None, flag.full_help, flag_values=flag_values)


def flag_of_macro(entry_point: str) -> dict[str, str]:
    """`{macro: "--flag=VALUE"}`, for messages about macros that are not set."""
    found: dict[str, str] = {}
    for flag in flags_of(entry_point).values():
        for target in flag.targets:
            found.setdefault(target.key, flag.example)
    return found


def default_files(entry_point: str, given: Mapping[str, Any]) -> list[str]:
    """The gin files that stand for the model and `--prompt_init`, in the order gin needs.

    Args:
        entry_point: "train", "evaluate" or "infer".
        given: values of the flags; None or absent means not given.

    Raises:
        ValueError: an unknown model or start.
    """
    model = given.get("model") or flag_table.BUNDLED
    if given.get("base_model"):
        model = flag_table.ANY_SIZE
    elif model not in flag_table.MODELS:
        near = spelling.nearest(model, flag_table.MODELS)
        known = ", ".join(flag_table.MODELS)
        raise ValueError(f"--model={model} is not known{near} (accepted: {known})")
    files = [f"{_CONFIGS}/models/{model}_prompt.gin"]
    bundled = model == flag_table.BUNDLED
    if entry_point != flag_table.TRAIN:
        run = {flag_table.EVALUATE: "eval", flag_table.INFER: "infer"}[entry_point]
        runs = [f"bundled_{run}"] if bundled else [f"prompt_{run}", "paper_lengths"]
    else:
        start = flag_table.PROMPT_FILES[_start(given)]
        if start:
            files.append(f"{_CONFIGS}/prompts/{start}.gin")
        runs = ["bundled_demo"] if bundled else ["prompt_finetune", "paper_recipe"]
    return files + [f"{_CONFIGS}/runs/{run}.gin" for run in runs]


def _start(given: Mapping[str, Any]) -> str:
    """The prompt's start: as given, or by what else is given."""
    start = given.get("prompt_init")
    if start is None:
        for flag, implied in (("prompt_file", "file"), ("prompt_string", "string")):
            if given.get(flag):
                return implied
        return "class_labels" if given.get("label_words") else "sampled_vocab"
    if start not in flag_table.PROMPT_FILES:
        near = spelling.nearest(start, list(flag_table.PROMPT_FILES))
        known = ", ".join(flag_table.PROMPT_FILES)
        raise ValueError(f"--prompt_init={start} is not known{near} (accepted: {known})")
    return start


def check_no_file_flags(given: Mapping[str, Any]) -> None:
    """With `--gin_file` the list of files is the user's alone.

    Raises:
        ValueError: a flag that chooses files is given beside it.
    """
    for name in MODEL_FLAGS:
        if given.get(name) is not None:
            raise ValueError(
                f"--{name} chooses gin files, and --gin_file gives the whole list; leave one of "
                "the two out"
            )


def check_files_are_read(entry_point: str, given: Mapping[str, Any]) -> None:
    """A run that is to train on a public task reads no rows of the user's.

    Raises:
        ValueError: flags of a training run say how to read rows that its task does not.
    """
    task = given.get("task")
    if entry_point != flag_table.TRAIN or task in (None, "file_task"):
        return
    for name in _FILE_FLAGS:
        if given.get(name):
            raise ValueError(
                f"--{name} has no effect: it is about rows of your own, and --task={task} has its "
                f"own; leave out --{name} or --task"
            )


def check_answers(given: Mapping[str, Any]) -> None:
    """An inference run answers a file or a task, with one prompt or several, from labels in one form.

    Raises:
        ValueError: there are flags about both.
    """
    if given.get("label_words") and given.get("label_file"):
        raise ValueError(
            f"--label_file={given['label_file']} and --label_words both say what the labels are; "
            "leave out --label_words, whose scores it would not write, or --label_file"
        )
    if given.get("input_file") and given.get("output_dir"):
        raise ValueError(
            f"--output_dir={given['output_dir']} is for the answers to a task; those to --input_file "
            "go to a file: --output_file=PATH"
        )
    if given.get("prompt") and given.get("prompt_file"):
        raise ValueError(
            f"--prompt_file={given['prompt_file']} would not be used beside --prompt, whose names the "
            "rows choose; give it a name: --prompt=NAME=PATH and perhaps --default_prompt=NAME"
        )


def bindings(
    entry_point: str, given: Mapping[str, Any], statements: gin_files.Statements
) -> list[str]:
    """The gin bindings of the flags that were given.

    Args:
        entry_point: "train", "evaluate" or "infer".
        given: values of the flags; None or absent means not given.
        statements: of the gin files, which decide what of a flag's targets there is.

    Raises:
        ValueError: the files have none of a flag's targets, or a number is not finite.
    """
    made: dict[str, str] = {}
    for name, flag in flags_of(entry_point).items():
        value = given.get(name)
        if value is None or not flag.targets:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"--{name} is {value}; it must be a finite number")
        known = [target for target in flag.targets if gin_checks.has_key(statements, target.key)]
        if not known:
            keys = " or ".join(target.key for target in flag.targets)
            raise ValueError(
                f"--{name} has no effect: none of the gin files has {keys} (flag --gin_file)"
            )
        # Later flags of the table are the more specific ones, except that a task that is named
        # stays named when files are given too.
        for target in known:
            if target.key == "MIXTURE_OR_TASK_NAME" and target.key in made:
                continue
            made[target.key] = f"{target.key} = {target.text(value)}"
    return list(made.values())


def new_run_dir(clock: Callable[[], float] = time.time) -> str:
    """A folder name for a run that was given none; sorts by time."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(clock()))
    return f"prompt_tuning_runs/bundled-{stamp}"


def final_split(entry_point: str, given: Mapping[str, Any]) -> list[str]:
    """The binding that scores a public task on the split that training evaluates.

    Its test split often has no labels; that of the demonstration has.
    """
    task = given.get("task")
    chosen = entry_point == flag_table.TRAIN and task not in (None, flag_table.BUNDLED_TASK)
    return ["FINAL_EVAL_SPLIT = None"] if chosen else []


def is_demonstration(entry_point: str, given: Mapping[str, Any]) -> bool:
    """Whether this is the training run of the bundled model, which must work without any flag."""
    if given.get("base_model"):
        return False
    return entry_point == flag_table.TRAIN and given.get("model") in (None, flag_table.BUNDLED)
