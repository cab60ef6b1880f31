# SPDX-License-Identifier: Apache-2.0
"""Prints the folder of a Python module or package, without running its code.

  tools/bazel run //tools/checkpoints:find_module -- prompt_tuning

Scripts build gin search paths from it: --gin_search_paths="$(find_module prompt_tuning)/..".
"""

import difflib
import importlib.util
import os
import pkgutil
from collections.abc import Sequence

from absl import app

from tools.checkpoints import command_line


def module_folder(name: str) -> str:
    """The folder that holds module `name`, or that package `name` is.

    Raises:
      ValueError: there is no such module, or it has no file; lists the nearest top-level names.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        known = {module.name for module in pkgutil.iter_modules()} | {"prompt_tuning", "data_ops"}
        close = difflib.get_close_matches(name.partition(".")[0], sorted(known), n=3)
        hint = f" The nearest are {', '.join(close)}." if close else ""
        raise ValueError(f"Python finds no module {name!r}; give one that can be imported.{hint}")
    # A namespace package, such as prompt_tuning, has folders but no file.
    if spec.submodule_search_locations:
        return os.path.abspath(next(iter(spec.submodule_search_locations)))
    if not spec.has_location or spec.origin is None:
        raise ValueError(f"module {name!r} is built into Python and has no folder.")
    return os.path.dirname(os.path.abspath(spec.origin))


def main(argv: Sequence[str]) -> None:
    """Prints the folder."""
    if len(argv) != 2:
        raise app.UsageError(f"one module is needed, {len(argv) - 1} were given.")
    print(module_folder(argv[1]))


if __name__ == "__main__":
    command_line.run(main)
