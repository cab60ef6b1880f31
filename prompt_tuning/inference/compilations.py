# SPDX-License-Identifier: Apache-2.0
"""For tests: counts what XLA compiles."""

import contextlib
from collections.abc import Iterator

from jax import monitoring

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """A list that grows by one with each compilation of any program, until the block ends."""
    seen: list[str] = []

    def listen(event: str, duration_secs: float, **details: str | int) -> None:
        del duration_secs, details
        if event == _EVENT:
            seen.append(event)

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        monitoring.unregister_event_duration_listener(listen)
