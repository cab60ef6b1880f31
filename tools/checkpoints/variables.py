# SPDX-License-Identifier: Apache-2.0
"""One parameter of a checkpoint by its name, and an array to an npy file."""

import difflib
import io

import numpy as np

from prompt_tuning.checkpoints import paths, t5x_format
from prompt_tuning.checkpoints.lazy_array import LazyArray


def find_variable(checkpoint: t5x_format.Checkpoint, variable_path: str, flag: str) -> LazyArray:
    """The parameter `a/b/c`; a leading `/` or `target/` may be written or left out.

    Raises:
      ValueError: there is none of that name; lists the nearest, and names the flag to change.
    """
    name = variable_path.strip("/").removeprefix("target/")
    target = checkpoint.target()
    if name in target:
        return target[name]
    close = difflib.get_close_matches(name, sorted(target), n=3, cutoff=0.4) or sorted(target)[:3]
    raise ValueError(
        f"{checkpoint.directory} has no parameter {name}; set --{flag} to one of its {len(target)} "
        f"parameters, the nearest are {', '.join(close)}."
    )


def save_array(path: str, array: np.ndarray) -> None:
    """Writes `array` in npy format under exactly this name, and makes the folder."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    paths.write_bytes(path, buffer.getvalue())
