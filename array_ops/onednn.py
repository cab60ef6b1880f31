# SPDX-License-Identifier: Apache-2.0
"""Whether this process's CPU work goes to oneDNN, and calls of it.

The compiled module is built on Linux on x86-64 alone. `PROMPT_TUNING_ONEDNN=0` leaves everything to
XLA.
"""

import functools
import importlib
import os
from collections.abc import Collection

import jax


def fast_types(features: Collection[str]) -> tuple[str, ...]:
    """Dtypes in which oneDNN is known to be faster on a processor.

    Args:
        features: of the processor, as /proc/cpuinfo names them.
    """
    if "avx512f" not in features:
        return ()  # Not measured, and our softmax needs it.
    # Without the units oneDNN has no bfloat16 product on some processors, and no fast one on others.
    units = {"avx512_bf16", "amx_bf16"} & set(features)
    return ("float32", "bfloat16") if units else ("float32",)


@functools.cache
def types() -> tuple[str, ...]:
    """Dtypes that go to oneDNN in this process; the first call registers the foreign functions."""
    if os.environ.get("PROMPT_TUNING_ONEDNN") == "0":
        return ()
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            features = next((line.split() for line in file if line.startswith("flags")), [])
        module = importlib.import_module("array_ops.product_module")
    except (ImportError, OSError):
        return ()
    found = fast_types(features)
    if found:
        for name, handler in module.handlers().items():
            jax.ffi.register_ffi_target(name, handler, platform="cpu")
    return found


def takes(*arrays: jax.Array) -> bool:
    """Whether work on these arrays goes to oneDNN: one CPU device, one fast dtype."""
    return (
        jax.default_backend() == "cpu"
        and jax.device_count() == 1
        and arrays[0].dtype.name in types()
        and all(array.dtype == arrays[0].dtype for array in arrays)
    )
