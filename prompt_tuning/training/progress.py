# SPDX-License-Identifier: Apache-2.0
"""What a person sees of a running loop: a bar on a terminal, plain lines elsewhere.

Both show the loss, steps per second and the time left, and both count from the first step of this
process, because the global step starts at the base checkpoint's. Knows nothing of training.
"""

import datetime
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

import rich.console
import rich.progress


class Progress(Protocol):
    """What the loop tells its display."""

    def start(self, first_step: int, total_steps: int) -> None:
        """The steps after `first_step`, up to `total_steps`, are about to run."""

    def advance(self, step: int) -> None:
        """`step` was handed to the device; cheap enough for every step."""

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        """Fresh scalars, of which `loss` and `timing/steps_per_second` are shown."""

    def note(self, text: str) -> None:
        """One line that is not about a step, e.g. a saved checkpoint."""

    def stop(self) -> None:
        """The loop ended, well or not."""


class NoProgress:
    """Shows nothing."""

    def start(self, first_step: int, total_steps: int) -> None:
        pass

    def advance(self, step: int) -> None:
        pass

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def stop(self) -> None:
        pass


class LineProgress(NoProgress):
    """One line per report, at most one in `min_seconds`, the last one always: for logs."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        min_seconds: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._stream = stream or sys.stderr
        self._min_seconds = min_seconds
        self._clock = clock
        self._last_line = -float("inf")
        self._first_step = self._total_steps = 0

    def start(self, first_step: int, total_steps: int) -> None:
        self._first_step, self._total_steps = first_step, total_steps

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        now = self._clock()
        if step < self._total_steps and now - self._last_line < self._min_seconds:
            return
        self._last_line = now
        done, total = step - self._first_step, self._total_steps - self._first_step
        parts = [f"step {done}/{total}", *_figures(scalars)]
        rate = scalars.get("timing/steps_per_second", 0.0)
        if rate > 0:
            left = datetime.timedelta(seconds=round((total - done) / rate))
            parts.append(f"{left} left")
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class BarProgress:
    """A progress bar that rewrites one line of the terminal."""

    def __init__(self, console: rich.console.Console | None = None):
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("training"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[figures]}"),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("left"),
            console=console or rich.console.Console(stderr=True),
        )
        self._task: rich.progress.TaskID  # Of `start`.
        self._first_step = 0

    def start(self, first_step: int, total_steps: int) -> None:
        self._first_step = first_step
        self._task = self._bar.add_task(
            "", total=total_steps - first_step, figures="compiling the first step"
        )
        self._bar.start()

    def advance(self, step: int) -> None:
        self._bar.update(self._task, completed=step - self._first_step)

    def report(self, step: int, scalars: Mapping[str, float]) -> None:
        self._bar.update(
            self._task, completed=step - self._first_step, figures="  ".join(_figures(scalars))
        )

    def note(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)

    def stop(self) -> None:
        self._bar.stop()


def make_progress(stream: TextIO | None = None) -> Progress:
    """Returns a bar when `stream` (standard error) is a terminal, else lines."""
    stream = stream or sys.stderr
    if stream.isatty():
        return BarProgress(rich.console.Console(file=stream))
    return LineProgress(stream)


def _figures(scalars: Mapping[str, float]) -> list[str]:
    figures = []
    if "loss" in scalars:
        # The loss per token does not jump with the number of target tokens in a batch.
        loss = scalars.get("loss_per_nonpadding_target_token", scalars["loss"])
        figures.append(f"loss {loss:.4f}")
    if "timing/steps_per_second" in scalars:
        figures.append(f"{scalars['timing/steps_per_second']:.1f} steps/s")
    return figures
