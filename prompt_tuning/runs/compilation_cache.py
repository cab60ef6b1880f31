# SPDX-License-Identifier: Apache-2.0
"""Compiled programs are kept between runs, in a folder of the user's cache.

A second run of the same shapes then starts without compiling. The folder's name holds what a program
depends on beyond JAX's own key: the library's version and the processor's features.
"""

import hashlib
import os
import platform

import jax
import jaxlib.version

# Variables by which the user decides; JAX reads them itself.
_USER_VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")


def _processor() -> str:
    """A short text that differs where compiled code might not run."""
    features = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            features += next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass
    return hashlib.sha256(features.encode()).hexdigest()[:8]


def folder(environment: os._Environ | dict[str, str] = os.environ) -> str | None:
    """The cache's folder; None where there is no home to keep it in."""
    base = environment.get("XDG_CACHE_HOME")
    if not base and environment.get("HOME"):
        base = os.path.join(environment["HOME"], ".cache")
    if not base:
        return None
    return os.path.join(base, "prompt_tuning", f"xla-{jaxlib.version.__version__}-{_processor()}")


def enable() -> None:
    """Turns the cache on, unless the user's environment says where it is or that there is none."""
    path = folder()
    if path is None or any(name in os.environ for name in _USER_VARIABLES):
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError:
        return  # A read-only home costs time, not correctness.
    jax.config.update("jax_compilation_cache_dir", path)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
