# SPDX-License-Identifier: Apache-2.0
"""Python in the project's environment, with the whole repository importable and the native op at hand.

    tools/bazel run //tools:python                        a REPL
    tools/bazel run //tools:python -- script.py ARGS      a script
    tools/bazel run //tools:python -- -m module ARGS      a module
    tools/bazel run //tools:python -- -c 'code' ARGS      a line of code

Sources come from the working tree, so an edit counts at once; compiled modules come from the build. Both work together
because the project's folders are namespace packages, which may have parts in several places.
"""

import code
import os
import runpy
import sys


def import_path(path: list[str], script_folder: str, workspace: str | None) -> list[str]:
    """Returns `path` without this script's own folder and with the working tree in front."""
    kept = [entry for entry in path if os.path.realpath(entry or ".") != script_folder]
    return ([workspace] if workspace else []) + kept


def _repl() -> None:
    try:
        import readline  # noqa: F401  (line editing and history, where the platform has it)
    except ImportError:
        pass
    banner = (
        f"Python {sys.version.split()[0]} in the project's environment; import prompt_tuning..."
    )
    code.interact(banner=banner, local={"__name__": "__console__", "__doc__": None}, exitmsg="")


def run(arguments: list[str]) -> None:
    """Runs what the arguments ask for, as the `python` command would."""
    if not arguments:
        _repl()
    elif arguments[0] in ("-c", "-m") and len(arguments) < 2:
        sys.exit(f"error: {arguments[0]} needs an argument, as in: //tools:python -- -m module")
    elif arguments[0] == "-c":
        sys.argv = ["-c"] + arguments[2:]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif not os.path.exists(arguments[0]):
        sys.exit(f"error: there is no script {os.path.abspath(arguments[0])}")
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
        runpy.run_path(arguments[0], run_name="__main__")


def main() -> None:
    folder = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = import_path(sys.path, folder, os.environ.get("BUILD_WORKSPACE_DIRECTORY"))
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd()))
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
