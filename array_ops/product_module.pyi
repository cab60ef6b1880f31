# SPDX-License-Identifier: Apache-2.0
"""Handlers of XLA's custom calls on CPUs."""

from typing import Any

def handlers() -> dict[str, Any]:
    """Handlers by name, for jax.ffi.register_ffi_target."""
