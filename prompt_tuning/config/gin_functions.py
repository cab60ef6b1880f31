# SPDX-License-Identifier: Apache-2.0
"""The functions that T5X offers to gin files as `gin_utils`."""

import os
import re
import tempfile
from collections.abc import Callable
from typing import Any

import gin

from prompt_tuning.config import aliases, run_flags


def sum_fn(var1: Any, var2: Any) -> Any:
    """`var1 + var2`, because gin has no arithmetic."""
    return var1 + var2


def bool_fn(var1: Any) -> bool:
    """`bool(var1)`."""
    return bool(var1)


def string_split_fn(
    text: str, separator: str, maxsplit: int = -1, index: int | None = None
) -> list[str] | str:
    """`text.split(separator, maxsplit)`, or its part number `index`."""
    parts = text.split(separator, maxsplit)
    return parts if index is None else parts[index]


def operative_config() -> str:
    """The bindings that were used so far, as gin text that can be read again."""
    with aliases.installed():  # gin resolves the imports again to write them.
        return gin.operative_config_str()


def parsed_config() -> str:
    """All bindings, used or not, as gin text that can be read again."""
    with aliases.installed():
        return gin.config_str()


def bindings_of(function: Callable[..., Any]) -> dict[str, str]:
    """What gin binds to a function, by argument and as text that is the same in every process.

    Of a function that a gin file names in a scope (`@scope/f`), all that was parsed.
    """
    try:
        values = gin.get_bindings(function)
    except ValueError:  # Gin does not know it, or not without the scope.
        return {"gin": parsed_config()} if hasattr(function, "__wrapped__") else {}
    return {name: re.sub(r" at 0x[0-9a-f]+", "", repr(value)) for name, value in values.items()}


def summarize_gin_config(model_dir: str, summary_writer: Any = None, step: int = 0) -> None:
    """Writes `model_dir/config.gin`: the bindings that were used so far.

    Args:
        model_dir: made if it is not there.
        summary_writer: has `write_texts(step, {tag: text})`; gets the text as `config`, which
            TensorBoard shows. None writes the file alone.
        step: of that text.
    """
    text = operative_config()
    os.makedirs(model_dir, exist_ok=True)
    # A reader never sees half a file: it is written under another name first.
    with tempfile.NamedTemporaryFile(
        "w", dir=model_dir, prefix="config.gin.", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    os.chmod(file.name, 0o644)  # Temporary files are private to their owner.
    os.replace(file.name, os.path.join(model_dir, "config.gin"))
    run_flags.write(model_dir)
    if summary_writer is not None:
        summary_writer.write_texts(step, {"config": gin.markdown(text)})
