# SPDX-License-Identifier: Apache-2.0
"""`model-info.txt`: every parameter with its shape, and which of them train. T5X writes one, too."""

import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

FILE = "model-info.txt"


def text(params: Mapping[str, Any], trainable: Collection[str]) -> str:
    """The table; one line for each parameter, sorted by name.

    Args:
      params: flat, anything with a shape.
      trainable: names that get gradients.
    """
    lines, totals = [], {True: 0, False: 0}
    for name in sorted(params):
        shape = tuple(params[name].shape)
        size = int(np.prod(shape, dtype=np.int64))
        totals[name in trainable] += size
        mark = "trainable" if name in trainable else "frozen"
        lines.append(f"{mark:9}  {size:>14,}  {str(shape):>20}  {name}")
    lines += [
        "",
        f"trainable parameters: {totals[True]:,}",
        f"frozen parameters: {totals[False]:,}",
    ]
    return "\n".join(lines) + "\n"


def write(model_dir: str, params: Mapping[str, Any], trainable: Collection[str]) -> None:
    """Writes `model_dir/model-info.txt` under a temporary name first."""
    path = os.path.join(model_dir, FILE)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(text(params, trainable))
    os.replace(path + ".tmp", path)
