# SPDX-License-Identifier: Apache-2.0
"""Writes an untrained prompt for the bundled model, [4, 128]; for a test of the macro."""

import sys

import numpy as np


def values() -> np.ndarray:
    """float32 [4, 128], always the same."""
    return np.sin(np.arange(4 * 128, dtype=np.float32)).reshape(4, 128)


if __name__ == "__main__":
    np.save(sys.argv[1], values())
