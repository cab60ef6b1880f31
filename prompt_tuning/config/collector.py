# SPDX-License-Identifier: Apache-2.0
"""Python's garbage collector, kept from searching modules while they are loaded.

JAX and what stands on it are more than a hundred thousand objects that stay. The collector would
look through them again and again, while they are loaded and afterwards whenever much is made, as
when a program is traced.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def resting() -> Iterator[None]:
    """For loading modules: collects nothing meanwhile, and what is there at the end never."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
