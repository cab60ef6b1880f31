# SPDX-License-Identifier: Apache-2.0
"""What a run refuses, checked before JAX and TensorFlow are loaded: folders, steps, tasks, files.

The runs call the same checks again, because a library's user does not come through the programs. A
user's rows are read here for the first time; a large file only as far as a second goes.
"""

import difflib
import itertools
import os
import tempfile
from collections.abc import Mapping
from typing import Any

from prompt_tuning.checkpoints import huggingface_format, prompt_files, t5x_format
from prompt_tuning.config import aliases, checkpoint_config, dataset_config
from prompt_tuning.data import arrow_reader, file_task, task_names
from prompt_tuning.runs import artifact_checks, restore_paths

BASELINES = ("none", "model_tuning")
INFER_MODES = ("predict", "score", "predict_with_aux")

# So many rows of a file are looked at; the run reads them all.
_MAX_ROWS = 200_000

Settings = Mapping[str, Any]


def check(entry_point: str, settings: Settings, foreign_tasks: bool = False) -> None:
    """Checks what is known of an entry point's arguments.

    Args:
      entry_point: "train", "evaluate" or "infer".
      settings: its arguments, as far as they are known.
      foreign_tasks: modules that nobody has imported yet may register tasks.

    Raises:
      ValueError, FileNotFoundError: the first mistake, in one sentence.
    """
    {"train": _check_train, "evaluate": _check_evaluate, "infer": _check_infer}[entry_point](
        settings
    )
    for value in settings.values():
        if isinstance(value, dataset_config.DatasetConfig):
            _check_task(value, foreign_tasks)
        restore = getattr(value, "restore", value)
        if isinstance(restore, checkpoint_config.RestoreCheckpointConfig):
            step = _check_restore(restore)
            if entry_point == "train" and step is not None and "relative_steps" in settings:
                _check_last_step(settings, step)
    # eval's --tasks; tasks of a module of the user's are not known yet.
    if not foreign_tasks and not getattr(settings.get("dataset_cfg"), "module", None):
        for name in settings.get("tasks") or ():
            task_names.check(name)


def check_folder(path: str | None, flag: str) -> None:
    """Raises ValueError where `path` cannot be a folder; it need not exist yet."""
    if not path or "://" in path:
        return
    existing = os.path.abspath(path)
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise ValueError(
            f"{existing} is a file; a run needs a folder, a new one or that of an earlier run: "
            f"{flag}."
        )
    try:
        # Permissions do not tell of a read-only, full or special file system such as /proc.
        os.rmdir(tempfile.mkdtemp(prefix=".", dir=existing))
    except OSError as error:
        raise ValueError(
            f"{existing} may not be written to ({error.strerror}); choose another folder: {flag}."
        ) from error


def check_artifact_file(path: str | None) -> None:
    """Raises ValueError where the prompt's artifact cannot be written to `path`."""
    if path is None:
        return
    if not path.endswith(".tar"):
        raise ValueError(
            f"the artifact's file is {path}; its name must end in .tar: --artifact_file "
            "(ARTIFACT_FILE)."
        )
    check_folder(os.path.dirname(os.path.abspath(path)), "--artifact_file (ARTIFACT_FILE)")


def check_period(period: Any) -> None:
    """Raises ValueError for a period of evaluations that is not one."""
    if period is not None and (not isinstance(period, int) or period < 1):
        raise ValueError(
            f"the period of evaluations is {period!r}; it must be at least 1: --eval_period "
            "(EVAL_PERIOD)."
        )


def check_steps(total_steps: Any, relative_steps: Any) -> None:
    """Raises ValueError where the number of steps is missing or none."""
    if relative_steps is not None:
        if not isinstance(relative_steps, int) or relative_steps < 1:
            raise ValueError(
                f"the number of steps is {relative_steps!r}; it must be at least 1: --train_steps "
                "(TRAIN_STEPS_RELATIVE)."
            )
    elif total_steps is None:
        raise ValueError(
            "no number of steps is set: use --train_steps (TRAIN_STEPS_RELATIVE) for steps beyond "
            "the checkpoint's, or TRAIN_STEPS for an absolute one."
        )
    elif not isinstance(total_steps, int) or total_steps < 1:
        raise ValueError(f"TRAIN_STEPS is {total_steps!r}; it must be an integer above 0.")


def check_baseline(name: Any) -> None:
    """Raises ValueError, with the nearest name, for a baseline that there is not."""
    if name not in BASELINES:
        near = difflib.get_close_matches(str(name), BASELINES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"the baseline is {name!r}; accepted are {', '.join(BASELINES)} (did you mean "
            f"{near!r}?): --baseline (BASELINE)."
        )


def check_best(metric: Any, patience: Any, evaluated: dataset_config.DatasetConfig | None) -> None:
    """The best prompt can be looked for, if it is to be.

    Args:
      metric: that is to be the best; None: none is looked for.
      patience: evaluations without a better value after which the training ends; None: never.
      evaluated: examples of the evaluations.

    Raises:
      ValueError: the patience is below 1 or has no metric, or there is nothing to evaluate on.
    """
    if patience is not None and (not isinstance(patience, int) or patience < 1 or metric is None):
        raise ValueError(
            f"the patience is {patience!r} evaluations and the metric is {metric}; set "
            "--early_stopping (EARLY_STOPPING) to at least 1, and --best_metric (BEST_METRIC) "
            "to what is to improve."
        )
    if metric is not None and (evaluated is None or not has_split(evaluated)):
        raise ValueError(
            f"the best {metric} is found on examples that training does not have, and "
            "there are none; set --validation_file (infer_eval/utils.DatasetConfig)."
        )


def check_mode(mode: Any) -> None:
    """Raises ValueError for a mode that infer does not have."""
    if mode not in INFER_MODES:
        raise ValueError(f"infer.mode is {mode!r}; accepted are {', '.join(INFER_MODES)}.")


def has_split(config: dataset_config.DatasetConfig, split: str | None = None) -> bool:
    """Whether the user's files hold the split; tasks of SeqIO are asked when they are opened."""
    files = config.file_task
    if files is None or config.mixture_or_task_name != dataset_config.FILE_TASK_NAME:
        return True
    return bool(files.files.get(split or config.split))


def check_split(config: dataset_config.DatasetConfig) -> None:
    """Raises ValueError where the user's files lack the split that a run cannot do without."""
    if not has_split(config):
        others = "" if config.split == "train" else ", or another --split"
        raise ValueError(
            f"there is no file for the split {config.split!r}; set --{config.split}_file{others}."
        )


def check_rows(config: dataset_config.DatasetConfig, split: str | None = None) -> None:
    """Reads the user's rows of a split, where it is a file; errors as `file_task.ExampleReader`."""
    files = config.file_task
    if files is None or config.mixture_or_task_name != dataset_config.FILE_TASK_NAME:
        return
    split = split or config.split
    path = files.files.get(split)
    if path and os.path.exists(path):
        path = arrow_reader.split_folder(path, split)
        rows = file_task.ExampleReader(path, file_task.row_format(files))
        # Bad rows that are left out are counted and told once, by the run.
        for _ in itertools.islice(rows, 1 if files.skip_bad_rows else _MAX_ROWS):
            pass


def check_vocabulary(vocabulary: Any, rows: int | None) -> None:
    """Raises ValueError for a vocabulary that has more ids than the model's table has rows.

    Args:
      vocabulary: has `vocab_size`, which loads it.
      rows: of the table; None where that is not known.
    """
    size = vocabulary.vocab_size
    if rows is not None and size > rows:
        raise ValueError(
            f"the vocabulary has {size} ids, but the model's table has {rows} rows; give the "
            "model's own vocabulary: --vocabulary (VOCABULARY), or set NUM_EMBEDDINGS."
        )


def check_model_files(
    vocabulary: Any,
    rows: int | None,
    prompt_file: Any,
    prompt_shape: tuple[int | None, int | None],
    restore: checkpoint_config.RestoreCheckpointConfig | None = None,
) -> None:
    """Loads the vocabulary and the prompt, as far as they are files of this machine.

    Args:
      vocabulary: `data_ops.vocabulary.SentencePieceVocabulary`; anything else is not looked at.
      rows: of the model's table; None where that is not known.
      prompt_file: path of a prompt; anything else is not looked at.
      prompt_shape: [P, H] of the model; None where a number is not known.
      restore: the frozen model, which an artifact's fingerprint has to be of.

    Raises:
      ValueError, FileNotFoundError: one is not what it should be, or does not fit the model.
    """
    path = getattr(vocabulary, "sentencepiece_model_file", None)
    is_here = bool(path and os.path.isfile(path))
    if is_here:
        check_vocabulary(vocabulary, rows)
    if not isinstance(prompt_file, str) or not os.path.exists(prompt_file):
        return
    length, width = prompt_shape
    if restore is not None and is_local(restore):
        words = vocabulary if is_here else None
        artifact_checks.check_file(
            prompt_file, restore, vocabulary=words, length=length, width=width
        )
    found = prompt_files.read_prompt(prompt_file).shape
    if length is not None and width is not None:
        prompt_files.check_shape(found, (length, width))


def is_local(restore: checkpoint_config.RestoreCheckpointConfig) -> bool:
    """Whether what a run starts from is on this machine."""
    given = [restore.path] if isinstance(restore.path, str) else restore.path
    return all(os.path.exists(path) for path in given)


def restore_of(settings: Settings) -> checkpoint_config.RestoreCheckpointConfig | None:
    """What an entry point's arguments say it starts from, as far as they are known."""
    checkpoints = settings.get("checkpoint_cfg")
    return checkpoints.restore if checkpoints else settings.get("restore_checkpoint_cfg")


def check_microbatches(
    config: dataset_config.DatasetConfig | None, num_microbatches: int | None
) -> None:
    """A batch divides into its microbatches; ValueError with what to change."""
    if config is None or not num_microbatches or num_microbatches < 1:
        return
    if config.batch_size % num_microbatches:
        raise ValueError(
            f"a batch of {config.batch_size} examples does not divide into {num_microbatches} "
            "microbatches; change --batch_size (BATCH_SIZE) or trainer.Trainer.num_microbatches."
        )


def check_training(model_dir: str | None, baseline: Any, eval_period: Any) -> None:
    """The settings of a training run but for its steps; ValueError as the functions called."""
    check_baseline(baseline)
    check_folder(model_dir, "--model_dir (MODEL_DIR)")
    check_period(eval_period)


def _check_train(settings: Settings) -> None:
    given = (settings.get("model_dir"), settings.get("baseline", "none"))
    check_training(*given, settings.get("eval_period"))
    check_artifact_file(settings.get("artifact_file"))
    best = ("best_metric", "early_stopping", "infer_eval_dataset_cfg")
    if set(best) <= set(settings):
        check_best(*(settings[name] for name in best))
    if {"total_steps", "relative_steps"} <= set(settings):
        check_steps(settings["total_steps"], settings["relative_steps"])
    if config := settings.get("train_dataset_cfg"):
        check_split(config)
        check_rows(config)
    for name in ("train_eval_dataset_cfg", "infer_eval_dataset_cfg"):
        if config := settings.get(name):
            check_rows(config)
            check_rows(config, settings.get("final_eval_split"))


def _check_evaluate(settings: Settings) -> None:
    check_folder(settings.get("output_dir"), "--output_dir (EVAL_OUTPUT_DIR)")
    if config := settings.get("dataset_cfg"):
        check_split(config)
        check_rows(config)


def _check_infer(settings: Settings) -> None:
    check_mode(settings.get("mode", INFER_MODES[0]))
    if settings.get("input_file") is None:
        check_folder(settings.get("output_dir"), "--output_dir (INFER_OUTPUT_DIR)")


def _check_task(config: dataset_config.DatasetConfig, foreign_tasks: bool) -> None:
    """The task is one that is known, or its module may be there."""
    module = config.module
    if module and not aliases.may_exist(task_names.module_here(module)):
        raise task_names.unknown_module(module, module)
    if not foreign_tasks and (not module or module.split(".")[0] == "prompt_tuning"):
        task_names.check(config.mixture_or_task_name)


def _check_last_step(settings: Settings, first_step: int) -> None:
    """An absolute TRAIN_STEPS counts the steps of the checkpoint that the run starts from."""
    total_steps = settings.get("total_steps")
    if settings["relative_steps"] is None and total_steps is not None and total_steps < first_step:
        raise ValueError(
            f"TRAIN_STEPS is {total_steps}, but the checkpoint is at step {first_step}, which "
            f"TRAIN_STEPS includes; set TRAIN_STEPS={first_step + total_steps} for {total_steps} "
            f"more, or TRAIN_STEPS_RELATIVE={total_steps}."
        )


def _check_restore(restore: checkpoint_config.RestoreCheckpointConfig) -> int | None:
    """A checkpoint of T5X on this machine has an index that can be read; returns its step."""
    if not is_local(restore):
        return None  # An object store's, or a name of the hub.
    path = next(iter(restore_paths.restore_paths(restore)), None)
    if path is None or huggingface_format.is_huggingface(path):
        return None
    return t5x_format.open_checkpoint(path).step
