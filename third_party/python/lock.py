# SPDX-License-Identifier: Apache-2.0
"""Makes the lock files from the *.in files: `tools/bazel run //third_party/python:lock`.

Needs the network. uv resolves, at the version that presubmit.lock pins, for every platform and Python at once.

The sets for accelerators hold only what they add to requirements.lock: they are resolved with its versions, so that a
TPU or a GPU changes no package that the CPU has.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv

FOLDER = "third_party/python"
LOCKS = {  # the lock -> (what it is made from, what is overridden)
    "requirements.lock": ("requirements.in", "overrides.in"),
    "presubmit.lock": ("presubmit.in", None),
    "requirements_tpu.lock": ("requirements_tpu.in", "overrides.in"),
    "requirements_cuda.lock": ("requirements_cuda.in", "overrides.in"),
}
BASE = "requirements.lock"
ADDED = ("requirements_tpu.lock", "requirements_cuda.lock")


def compile_command(uv: str, lock: str) -> list[str]:
    """Returns the uv command line that makes `lock` (a key of LOCKS) inside FOLDER."""
    source, overrides = LOCKS[lock]
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header"]
    if overrides:
        command += ["--override", overrides]
    if lock in ADDED:
        command += ["--constraint", BASE]
    return [*command, source, "-o", lock]


def entries(text: str) -> dict[str, str]:
    """The blocks of a lock file, `{first line: whole block}`."""
    blocks = re.findall(r"^[A-Za-z0-9].*(?:\n[ \t]+.*)*\n?", text, re.MULTILINE)
    return {block.partition("\n")[0]: block.rstrip("\n") + "\n" for block in blocks}


def additions(text: str, base: str) -> str:
    """The entries of a lock file that another does not have.

    Raises:
        ValueError: both have a distribution, at different versions.
    """
    known = entries(base)
    added = {line: block for line, block in entries(text).items() if line not in known}
    pinned = {line.split("==")[0] for line in known}
    if wrong := [line for line in added if line.split("==")[0] in pinned]:
        name = wrong[0].partition(" ")[0]
        raise ValueError(f"{name} is pinned otherwise in {BASE}; lock that first.")
    return "".join(added.values())


def _keep_additions(path: str, base: str) -> None:
    with open(path, encoding="utf-8") as file, open(base, encoding="utf-8") as base_file:
        text = additions(file.read(), base_file.read())
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main() -> None:
    folder = os.path.join(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."), FOLDER)
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        install = ["pip", "--quiet", "install", "--no-deps", "--require-hashes", "-r"]
        install[0] = os.path.join(scratch, "bin", "pip")
        subprocess.run([*install, os.path.join(folder, "presubmit.lock")], check=True)
        for lock in LOCKS:
            print(f"locking {lock}", file=sys.stderr)
            uv = os.path.join(scratch, "bin", "uv")
            subprocess.run(compile_command(uv, lock), check=True, cwd=folder)
            if lock in ADDED:
                _keep_additions(os.path.join(folder, lock), os.path.join(folder, BASE))


if __name__ == "__main__":
    main()
