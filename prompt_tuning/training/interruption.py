# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM as a question that a loop asks between two steps."""

import signal
import threading
import types
from collections.abc import Callable
from typing import Any

# What signal.signal returns.
_Handler = Callable[[int, types.FrameType | None], Any] | int | None


class InterruptionGuard:
    """While entered, the first SIGINT or SIGTERM is only remembered; a second one acts as usual.

    Preemptible machines send SIGTERM and wait; people press Ctrl-C once when they mean "stop" and
    twice when they mean "now". Outside the main thread Python cannot receive signals, so there the
    guard changes nothing.
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, _Handler] = {}

    def __enter__(self) -> "InterruptionGuard":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_) -> None:
        self._restore()

    def _remember(self, number: int, frame: types.FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            # None: a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()
