# SPDX-License-Identifier: Apache-2.0
"""Makes the lock files from the *.in files: `tools/bazel run //third_party/python:lock`.

Needs the network. uv resolves, at the version that presubmit.lock pins, for every platform and Python at once.
"""

import os
import subprocess
import sys
import tempfile
import venv

FOLDER = "third_party/python"
LOCKS = {  # the lock -> (what it is made from, what is overridden)
    "requirements.lock": ("requirements.in", "overrides.in"),
    "presubmit.lock": ("presubmit.in", None),
}


def compile_command(uv: str, lock: str) -> list[str]:
    """Returns the uv command line that makes `lock` (a key of LOCKS) inside FOLDER."""
    source, overrides = LOCKS[lock]
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header"]
    if overrides:
        command += ["--override", overrides]
    return [*command, source, "-o", lock]


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


if __name__ == "__main__":
    main()
