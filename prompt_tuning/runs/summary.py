# SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind for people and programs: `summary.json` and the table at the end.

Knows figures and file names only.
"""

import json
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import rich.console
import rich.table

FILE = "summary.json"
NO_SPLIT = "none"  # Stands for the split where nothing was evaluated.


def write(model_dir: str, figures: Mapping[str, Any]) -> str:
    """Writes `model_dir/summary.json` under a temporary name first; returns its path."""
    path = os.path.join(model_dir, FILE)
    temporary = path + ".tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=2, sort_keys=True)
        file.write("\n")
    os.replace(temporary, path)
    return path


def read(model_dir: str) -> dict[str, Any] | None:
    """Returns the figures of a finished run, or None when there is none in `model_dir`."""
    try:
        with open(os.path.join(model_dir, FILE), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


_TIMES = ("steps_per_second", "examples_per_second", "seconds_to_first_step")


def times(model_dir: str) -> dict[str, float]:
    """The figures of speed that an earlier, finished run left in `model_dir`; zeros if none did."""
    earlier = read(model_dir) or {}
    return {name: earlier.get(name, 0.0) for name in _TIMES}


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far; a device's own is not in it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def count(number: int) -> str:
    """`2560` -> "2,560"; `11135332352` -> "11.1 B"."""
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if number >= 10 * size:
            return f"{number / size:.1f} {letter}"
    return f"{number:,}"


def size(number: int) -> str:
    """Bytes for people: `10240` -> "10.2 kB"."""
    value = float(number)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


# Row title -> the suffix that its figures carry in summary.json.
_ROWS = (
    ("frozen, no prompt", "without_prompt"),
    ("frozen, with the prompt", "with_prompt"),
    ("whole model tuned", "model_tuning"),
)
_decimals = "{:.3f}".format
# (column title, prefix of the figure, how it is shown); the tasks' own metrics come before the last.
_COLUMNS = (
    ("accuracy", "accuracy", _decimals),
    ("AUC", "auc", _decimals),
    ("exact match", "exact_match", _decimals),
    ("weights trained", "trained_parameters", count),
)
_FORMATS = {prefix: show for _, prefix, show in _COLUMNS}


def table(figures: Mapping[str, Any]) -> rich.table.Table:
    """The comparison of what was evaluated; columns without any figure are left out.

    A task's own metrics, such as `matthews_corrcoef_with_prompt`, have a column of their name.
    """
    named = [(title, prefix) for title, prefix, _ in _COLUMNS]
    own = [(name, name) for name in _own_names(figures)]
    columns = [
        (title, prefix)
        for title, prefix in [*named[:-1], *own, named[-1]]
        if any(f"{prefix}_{suffix}" in figures for _, suffix in _ROWS)
    ]
    result = rich.table.Table(title=f"{figures['task']}, split {figures['split']}")
    result.add_column("")
    for title, _ in columns:
        result.add_column(title, justify="right", overflow="fold")
    for title, suffix in _ROWS:
        cells = [(prefix, figures.get(f"{prefix}_{suffix}")) for _, prefix in columns]
        if any(value is not None for _, value in cells):
            result.add_row(title, *(_cell(value, _FORMATS.get(prefix)) for prefix, value in cells))
    return result


def _own_names(figures: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that are a task's own, in the order in which they come."""
    names = (
        key.removesuffix(f"_{suffix}")
        for key in figures
        for _, suffix in _ROWS
        if key.endswith(f"_{suffix}")
    )
    return [name for name in dict.fromkeys(names) if name not in _FORMATS]


def _cell(value: Any, show: Callable[[Any], str] | None) -> str:
    return "" if value is None else (show or _decimals)(value)


def show_table(made: rich.table.Table, notes: Sequence[str], stream: TextIO | None = None) -> None:
    """Prints a table and `notes`."""
    console = rich.console.Console(file=stream, highlight=False, soft_wrap=True)
    console.print(made)
    for note in notes:
        console.print(note, markup=False)


def show(figures: Mapping[str, Any], notes: Sequence[str], stream: TextIO | None = None) -> None:
    """Prints the table, the prompt's size, the times, and `notes` (files, the next command)."""
    console = rich.console.Console(file=stream, highlight=False, soft_wrap=True)
    if figures["split"] == NO_SPLIT:
        console.print(
            f"{figures['task']}: nothing was evaluated, since there are no examples for it; "
            "--validation_file or --test_file names some"
        )
    else:
        console.print(table(figures))
    if "best_step" in figures and "last_step" in figures:
        console.print(
            f"the prompt is that of step {figures['best_step']:,}, with the best "
            f"{figures['best_metric']} ({figures['best_value']:.3f}); training ended at step "
            f"{figures['last_step']:,}",
            markup=False,
        )
    if "prompt_parameters" in figures:
        console.print(
            f"prompt: {count(figures['prompt_parameters'])} parameters, "
            f"{size(figures['prompt_bytes'])} (the model: {count(figures['model_parameters'])})"
        )
    if "train_steps" in figures:
        console.print(
            f"{figures['train_steps']} steps at {figures['steps_per_second']:.1f} per second"
            f" ({figures['examples_per_second']:.0f} rows); first step after "
            f"{figures['seconds_to_first_step']:.1f} s"
        )
    memory = figures.get("peak_memory_bytes")
    note = f", {size(memory)} of memory at the peak" if memory else ""
    console.print(f"all in {figures['wall_seconds']:.1f} s{note}")
    for note in notes:
        console.print(note, markup=False)
