# SPDX-License-Identifier: Apache-2.0
"""How the tools here end: 0 fine, 1 `error: <one sentence>`, 2 wrong usage; never a traceback.

141 if nobody reads the output any more.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from absl import app, flags

_OUTPUT_CLOSED = 141  # As of a process that SIGPIPE ends.
_Value = TypeVar("_Value")


def required(flag: flags.FlagHolder[_Value | None]) -> _Value:
    """The value of a flag that has no default, and that the program cannot do without.

    Raises:
      app.UsageError: it is not set, or empty.
    """
    if not flag.value:
        raise app.UsageError(f"--{flag.name} is not set.")
    return flag.value


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs `main(argv)` as an absl program; its result is the exit status."""
    # `bazel run` starts a program in a folder of Bazel's; relative paths mean the user's.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    app.run(lambda argv: sys.exit(status(main, argv)), flags_parser=_parse)


def status(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int:
    """Calls `main`, prints what the user got wrong, and returns the exit status."""
    try:
        return main(argv) or 0
    except app.UsageError as error:
        return _usage(error)
    except BrokenPipeError:  # Whoever reads the output, such as `head`, has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _OUTPUT_CLOSED
    except (ValueError, OSError, ImportError) as error:
        return _report(str(error), 1)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(_usage(error))


def _usage(error: Exception) -> int:
    # absl puts every missing flag on a line of its own.
    message = str(error).replace("\n", "; ").rstrip(".")
    return _report(f"{message}. See --help.", 2)


def _report(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code
