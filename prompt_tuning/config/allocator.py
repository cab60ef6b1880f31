# SPDX-License-Identifier: Apache-2.0
"""Memory that a step gives back is kept for the next one, on CPUs under glibc.

XLA allocates what a step needs at its start and frees it at its end: hundreds of megabytes. glibc
maps such a piece from the system each time and returns it, so each step pays for zeroing every page
of it again (docs/training_speed.md). Kept, it is used again.
"""

import ctypes
import functools
import importlib.util
import sys

# Of malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
# Free memory at the end of the heap, in bytes, from which on it goes back to the system: the most
# that the call takes.
_MOST_KEPT = 2**31 - 1
# Packages that bring JAX an accelerator, which has its own memory.
_ACCELERATORS = ("libtpu", "jax_cuda12_plugin", "jax_cuda13_plugin")


@functools.cache
def use_one_heap() -> bool:
    """Has all threads take their memory from one heap, so that it can be kept.

    Called before threads start, which else get heaps of their own that cannot hold large pieces.

    Returns:
      Whether it was done: not off Linux, with another C library, or with an accelerator.
    """
    if sys.platform != "linux" or any(importlib.util.find_spec(name) for name in _ACCELERATORS):
        return False
    library = ctypes.CDLL(None)
    return hasattr(library, "gnu_get_libc_version") and bool(library.mallopt(_ARENA_MAX, 1))


def keep_freed_memory() -> bool:
    """From now on, large pieces come from that heap and not from maps of their own.

    Worth it where one piece of memory is needed again and again, once the program that needs it is
    made: compiling leaves a heap full of holes. What is free by now goes back to the system.

    Returns:
      Whether it was done: only after `use_one_heap` was.
    """
    if not use_one_heap.cache_info().currsize or not use_one_heap():
        return False
    library = ctypes.CDLL(None)
    library.malloc_trim(0)
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST_KEPT))
    return all([library.mallopt(name, value) for name, value in settings])
