# SPDX-License-Identifier: Apache-2.0
"""Handlers of XLA's custom calls on CPUs."""

from typing import Any

def multiply() -> Any:
    """The handler of a strided matrix product, for jax.ffi.register_ffi_target."""
