# SPDX-License-Identifier: Apache-2.0
"""The names of all tasks that need no module, without the tasks: no SeqIO, no TensorFlow.

`task_names.txt` lists those over public datasets; //prompt_tuning/data:task_list writes it from the
tables, and a test compares them.
"""

import functools
import os

from prompt_tuning.config import dataset_config
from prompt_tuning.data import row_format

# Modules of upstream that stand here under another name -> the name. A module below one of them
# (`prompt_tuning.spot.data.nli`) is part of the same one here.
UPSTREAM_MODULES = {
    "prompt_tuning.extended.perceptron.data": "prompt_tuning.data.perceptron",
    "prompt_tuning.recycling.data": "prompt_tuning.data.recycling",
    "prompt_tuning.spot.data": "prompt_tuning.data.spot",
}
DEMO_TASK = "bundled_reviews"
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "task_names.txt")


@functools.cache
def listed() -> tuple[str, ...]:
    """The names in the file, sorted."""
    with open(_FILE, encoding="utf-8") as file:
        return tuple(file.read().split())


def check(name: str) -> None:
    """Raises ValueError for a name that is not known, with the nearest ones."""
    known = {DEMO_TASK, dataset_config.FILE_TASK_NAME, *listed()}
    if name not in known:
        raise unknown(name, sorted(known))


def unknown(name: str, known: list[str]) -> ValueError:
    """What to tell somebody who asks for a task that is not there."""
    return ValueError(
        f"there is no task or mixture {name!r} among the {len(known)} that are known; set "
        "--task to a name of docs/tasks.md, or MIXTURE_OR_TASK_MODULE to the module that "
        f"registers it.{row_format.nearest(name, known)}"
    )


def module_here(module: str) -> str:
    """The name that a module of tasks has here: another one for some of upstream's."""
    for upstream, ours in UPSTREAM_MODULES.items():
        if module == upstream or module.startswith(f"{upstream}."):
            return ours
    return module


def unknown_module(module: str, missing: str | None) -> ValueError:
    """What to tell somebody whose module of tasks, or one that it imports, is not there."""
    return ValueError(
        f"MIXTURE_OR_TASK_MODULE is {module!r}, and importing it found no module {missing!r}; set "
        "it to a module that registers tasks, or leave it out."
    )
