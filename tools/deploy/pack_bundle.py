# SPDX-License-Identifier: Apache-2.0
"""Packs programs and what they need into one archive that installs itself: the tool of `deploy_bundle`.

    install                        makes `venv`; see install.sh
    built_for                      version of Python and processor that the native op was built for
    bazel-bin/PACKAGE/NAME         starts a program, as a checkout's does after a build
    everything else                at its path in the repository

The bytes depend on the files, this Python's version and nothing else: no times, no owners, sorted names.
"""

import argparse
import gzip
import io
import os
import platform
import sys
import tarfile

_START = """#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
root="$(cd "$(dirname "$(readlink -f "${{BASH_SOURCE[0]}}")")/{up}" && pwd)"
if [[ ! -e "${{root}}/venv/complete" ]]; then
  echo "error: ${{root}} is not installed; run ${{root}}/install" >&2
  exit 1
fi
export PYTHONPATH="${{root}}${{PYTHONPATH:+:${{PYTHONPATH}}}}"
exec "${{root}}/venv/bin/python3" "${{root}}/{program}.py" "$@"
"""


def start_script(program: str) -> str:
    """The text of bazel-bin/`program`, where `program` is PACKAGE/NAME with its source PACKAGE/NAME.py."""
    return _START.format(program=program, up="/".join([".."] * (program.count("/") + 1)))


def pack(files: dict[str, str], programs: list[str], install: str) -> bytes:
    """The archive.

    Args:
      files: path in the archive to the file to read.
      programs: PACKAGE/NAME of each.
      install: path of the script.

    Returns:
      A gzipped tar file.

    Raises:
      ValueError: a program has no source of its name.
      OSError: a file cannot be read.
    """
    for program in programs:
        if f"{program}.py" not in files:
            raise ValueError(
                f"program {program} has no {program}.py; give it a source of its name."
            )
    # Bazel's own launchers need Bazel's folders.
    contents = {name: _read(path) for name, path in files.items() if name not in programs}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    contents["built_for"] = f"{version} {platform.machine()}\n".encode()
    scripts = {f"bazel-bin/{program}": start_script(program).encode() for program in programs}
    scripts["install"] = _read(install)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted((contents | scripts).items()):
            info = tarfile.TarInfo(name)  # Time and owner are constants unless set.
            info.size = len(content)
            info.mode = 0o755 if name in scripts else 0o644
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def main(arguments: list[str]) -> None:
    """Writes the archive that the arguments describe; `@FILE` stands for the lines of a file."""
    parser = argparse.ArgumentParser(fromfile_prefix_chars="@")
    parser.add_argument("--output", required=True)
    parser.add_argument("--install", required=True)
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("files", nargs="*", help="NAME=PATH of a file")
    parsed = parser.parse_args(arguments)
    files = dict(entry.split("=", 1) for entry in parsed.files)
    try:
        packed = pack(files, parsed.program, parsed.install)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    temporary = f"{parsed.output}.new"
    with open(temporary, "wb") as file:
        file.write(packed)
    os.replace(temporary, parsed.output)


if __name__ == "__main__":
    main(sys.argv[1:])
