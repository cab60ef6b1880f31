# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint of a run is its best: a small file in MODEL_DIR, and a pin on that checkpoint.

    model_dir/best_prompt.json            what was measured at which steps, and the best of them
    model_dir/checkpoint_<step>/PINNED    T5X's sign that pruning passes over the folder

Knows no metric and no model. A pin that someone else set is left alone.
"""

import json
from collections.abc import Mapping
from typing import Any

from prompt_tuning.checkpoints import paths, step_directories

FILE = "best_prompt.json"
_MARK = b"the best prompt of this run, see best_prompt.json\n"


def write(model_dir: str, record: Mapping[str, Any]) -> None:
    """Writes the record, whose `best_step` is an int, and moves the pin to that step.

    The new pin is set first and the old one taken last, so that a best checkpoint is pinned
    whenever the process dies.
    """
    step = record["best_step"]
    directory = step_directories.step_directory(model_dir, step)
    pin = paths.join(directory, step_directories.PINNED_FILE)
    if paths.is_directory(directory) and not paths.is_file(pin):
        paths.write_bytes(pin, _MARK)
    text = json.dumps(record, indent=2, sort_keys=True) + "\n"
    paths.write_bytes(paths.join(model_dir, FILE), text.encode())
    for other in step_directories.checkpoint_steps(model_dir):
        pin = paths.join(
            step_directories.step_directory(model_dir, other), step_directories.PINNED_FILE
        )
        if other != step and paths.is_file(pin) and paths.read_bytes(pin) == _MARK:
            paths.remove_file(pin)


def read(model_dir: str) -> dict[str, Any] | None:
    """The record of a run; None when it has none.

    Raises:
      ValueError: the file is damaged.
    """
    path = paths.join(model_dir, FILE)
    if not paths.is_file(path):
        return None
    try:
        record = json.loads(paths.read_bytes(path))
        int(record["best_step"])
        return record
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not the record of a best prompt ({error!r}); delete it, and the run goes "
            "on as if nothing had been measured."
        ) from None
