# SPDX-License-Identifier: Apache-2.0
"""Makes the environment of PyTorch, transformers and PEFT that the tests tagged huggingface ask.

  tools/bazel run //third_party/huggingface_peers:install -- --directory=DIR
  tools/bazel run //third_party/huggingface_peers:install -- --directory=DIR --torch=torch-....whl
  tools/bazel run //third_party/huggingface_peers:install -- --lock

Everything is installed by hash. --torch takes PyTorch from a file, for example one without CUDA,
instead of the index's, which brings 3 GB of libraries. --lock makes the lock files anew, with uv.
"""

import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence

from absl import app, flags

FOLDER = "third_party/huggingface_peers"
PEERS, TORCH = "peers.lock", "torch.lock"
DIRECTORY = flags.DEFINE_string("directory", None, "Where the environment goes; a new folder.")
TORCH_FILE = flags.DEFINE_string("torch", None, "Wheel of PyTorch to use instead of the index's.")
LOCK = flags.DEFINE_boolean(
    "lock", False, "Make the lock files from peers.in, and install nothing."
)

# What is there for PyTorch's sake only.
_OF_TORCH = re.compile(r"(torch|triton|nvidia-|cuda-)")
_HEADERS = {
    PEERS: "# Made from peers.in; without PyTorch, which is in torch.lock.\n",
    TORCH: "# Made from peers.in: PyTorch and, on Linux, its CUDA libraries (3 GB installed).\n",
}


def split(text: str) -> dict[str, str]:
    """The two lock files, from the one that uv makes."""
    parts = dict(_HEADERS)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        parts[TORCH if _OF_TORCH.match(entry) else PEERS] += entry + "\n"
    return parts


def commands(python: str, folder: str, torch: str | None) -> list[list[str]]:
    """The installations, each by hash and without what is not in the lock."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps"]
    locked = [*pip, "--require-hashes", "-r"]
    first = [*pip, torch] if torch else [*locked, os.path.join(folder, TORCH)]
    return [first, [*locked, os.path.join(folder, PEERS)]]


def _make_locks(folder: str) -> None:
    uv = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    uv += ["--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url"]
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "all.lock")
        subprocess.run([*uv, os.path.join(folder, "peers.in"), "-o", path], check=True)
        with open(path) as file:
            parts = split(file.read())
    for name, text in parts.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)


def main(argv: Sequence[str]) -> None:
    """Locks or installs."""
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not a flag.")
    folder = os.path.join(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."), FOLDER)
    if LOCK.value:
        _make_locks(folder)
        return
    if not DIRECTORY.value:
        raise app.UsageError("--directory is not set.")
    directory = os.path.join(os.environ.get("BUILD_WORKING_DIRECTORY", "."), DIRECTORY.value)
    directory = os.path.abspath(directory)
    venv.create(directory, with_pip=True)
    python = os.path.join(directory, "bin", "python")
    for command in commands(python, folder, TORCH_FILE.value):
        subprocess.run(command, check=True)
    print(f"export PROMPT_TUNING_HUGGINGFACE_PYTHON={python}", file=sys.stdout)


if __name__ == "__main__":
    app.run(main)
