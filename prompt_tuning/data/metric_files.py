# SPDX-License-Identifier: Apache-2.0
"""The metrics files of a run, `{task}-metrics.jsonl`: one line for each step that was evaluated.

A run that goes on from a checkpoint takes up these files where the checkpoint left them. Knows no
metric and no TensorFlow.
"""

import json
import os
from collections.abc import Iterable


def path(folder: str, task: str) -> str:
    """The file of a task."""
    return os.path.join(folder, f"{task}-metrics.jsonl")


def rewind(folder: str, tasks: Iterable[str], step: int) -> bool:
    """Forgets what is later than `step`, for a run that computes it again from there.

    A step that only some of the tasks have is forgotten too, because an evaluation makes all of
    them.

    Args:
      folder: of the files, which need not exist.
      tasks: their names.
      step: the last one to keep.

    Returns:
      Whether every task has its line of `step`.
    """
    files = [path(folder, task) for task in tasks]
    lines = {file: _lines(file) for file in files}
    complete = all(any(found == step for found, _ in lines[file]) for file in files)
    last = step if complete else step - 1
    for file, found in lines.items():
        kept = [line for number, line in found if number <= last]
        if len(kept) < len(found):
            _write(file, kept)
    return complete


def _lines(file: str) -> list[tuple[int, str]]:
    """[(step, line)]; a line that is no record counts as later than all."""
    if not os.path.exists(file):
        return []
    with open(file, encoding="utf-8") as stream:
        return [(_step(line), line) for line in stream]


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 1 << 62


def _write(file: str, lines: list[str]) -> None:
    with open(f"{file}.tmp", "w", encoding="utf-8") as stream:
        stream.writelines(lines)
    os.replace(f"{file}.tmp", file)
