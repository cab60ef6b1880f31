# SPDX-License-Identifier: Apache-2.0
"""Upstream's `prompt_tuning.masks`, for Python code that imports it; the code is `prompts.masks`."""

from typing import Any

from prompt_tuning.config import aliases


def __getattr__(name: str) -> Any:
    return getattr(aliases.module(__name__), name)
