# SPDX-License-Identifier: Apache-2.0
"""Tasks that are read from SeqIO's offline cache: what must be there, and what is told if it is not.

A complete cache stands for its dataset: the tasks of this project train and are evaluated from it
where the dataset itself is nowhere. `task_cache` writes caches.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import seqio

COMPLETED = "COMPLETED"
# In `info.<split>.json`, beside SeqIO's own entries: whose tokens the cache holds.
VOCABULARY = "vocabulary"
_COMMAND = (
    "tools/bazel run //prompt_tuning/data:cache_tasks -- --tasks={task} --output_cache_dir={folder}"
)


class CachedTask(seqio.Task):
    """A task whose splits are those of its cache where its dataset is not prepared."""

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits; errors of the source only where there is no cache either."""
        try:
            return super().splits
        except FileNotFoundError:
            if cached := cached_splits(self):
                return cached
            raise


def cached_splits(task: seqio.Task) -> list[str]:
    """The splits of the task's complete cache; [] where there is none."""
    folder = task.cache_dir if task.supports_caching else None
    if not folder:
        return []
    before, after = os.path.basename(seqio.utils.get_cached_info_path("", "\0")).split("\0")
    names = (name for name in sorted(os.listdir(folder)) if name.startswith(before))
    return [name[len(before) : -len(after)] for name in names if name.endswith(after)]


def check(task: seqio.Task | seqio.Mixture, split: str) -> None:
    """Checks that a split of a task, or of the tasks of a mixture, can be read from caches.

    Tasks that cannot be cached pass: SeqIO makes their examples as it goes, as without a cache.

    Raises:
      FileNotFoundError: a task has no complete cache.
      ValueError: its cache lacks the split, or was made with another vocabulary.
    """
    members = [task] if isinstance(task, seqio.Task) else task.tasks
    for member in members:
        if not member.supports_caching:
            continue
        if not member.cache_dir:
            raise FileNotFoundError(_not_cached(member.name))
        splits = cached_splits(member)
        if split in splits:
            _check_vocabulary(member, split)
        elif member is task or split in member.splits:
            raise ValueError(
                f"the cache {member.cache_dir} of the task {member.name!r} has no split {split!r}; "
                f"it has {', '.join(splits)}: choose one of them, or make the cache anew with "
                f"{_command(member.name, os.path.dirname(member.cache_dir))} --overwrite."
            )


def vocabulary_fingerprint(vocabulary: Any) -> str:
    """SHA-256 of a SentencePiece vocabulary, `data_ops`' or SeqIO's; "" for any other."""
    model = getattr(vocabulary, "sp_model", None)
    return hashlib.sha256(model).hexdigest() if isinstance(model, bytes) else ""


def recorded_vocabulary(folder: str, split: str) -> str:
    """The fingerprint that a cache has; "" for one of SeqIO's own tool."""
    with open(seqio.utils.get_cached_info_path(folder, split), encoding="utf-8") as file:
        return json.load(file).get(VOCABULARY, "")


def _check_vocabulary(task: seqio.Task, split: str) -> None:
    recorded = recorded_vocabulary(task.cache_dir, split)
    own = vocabulary_fingerprint(task.output_features["targets"].vocabulary) if recorded else ""
    if recorded != own and own:
        raise ValueError(
            f"the cache {task.cache_dir} of the task {task.name!r} holds tokens of another "
            f"vocabulary ({recorded[:8]}) than the model's ({own[:8]}); make it anew with "
            f"{_command(task.name, os.path.dirname(task.cache_dir))} --overwrite "
            "--vocabulary=FILE, or set USE_CACHED_TASKS to False."
        )


def _not_cached(name: str) -> str:
    searched = seqio.utils.get_global_cache_dirs()
    task_folder = seqio.utils.get_task_dir_from_name(name)
    begun = [d for d in searched if os.path.isdir(os.path.join(d, task_folder))]
    state = f"none that is complete (one was begun in {begun[0]})" if begun else "no cache"
    where = f"in {', '.join(searched)}" if searched else "since no folder of caches is given"
    return (
        f"the task {name!r} has {state} {where}: --seqio_additional_cache_dirs; make it with "
        f"{_command(name, (begun or searched or ['FOLDER'])[0])}, or set USE_CACHED_TASKS to "
        "False (--gin.USE_CACHED_TASKS=False)."
    )


def _command(name: str, folder: str) -> str:
    return _COMMAND.format(task=name, folder=folder)
