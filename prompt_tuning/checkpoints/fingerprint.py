# SPDX-License-Identifier: Apache-2.0
"""A short text that tells one set of weights from another, cheap enough for a model of any size.

Knows no format: whatever has a shape and can be indexed has a fingerprint.
"""

import concurrent.futures
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from prompt_tuning.checkpoints.lazy_array import LazyArray

# Part of the text, so that fingerprints of different recipes never compare equal.
_VERSION = "1"
_SAMPLES = 64
_THREADS = 16


def fingerprint(arrays: Mapping[str, Any]) -> str:
    """Hash of names, shapes and 64 evenly spaced values of each array, taken as float32.

    Guaranteed: equal weights give equal texts, in whatever order, chunks, file format or dtype they
    are held, as long as the dtype holds them exactly; bfloat16 copies of float32 weights do not.
    Another name or shape gives another text. Not guaranteed: a change that touches none of the
    sampled values goes unseen. It tells checkpoints apart; it does not prove that none was tampered
    with.

    Args:
      arrays: parameter names to `LazyArray`, numpy or JAX arrays. Only the sampled values leave a
        device. Of an array in a file the chunks that hold them are read, which for chunks of 64 MiB
        is most of the file: pass the arrays in memory where they are loaded anyway.

    Returns:
      `1-` and 32 hexadecimal digits.
    """
    names = sorted(arrays)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        samples = list(pool.map(lambda name: _sample(arrays[name]), names))
    digest = hashlib.sha256()
    for name, values in zip(names, samples, strict=True):
        shape = [int(length) for length in arrays[name].shape]
        digest.update(json.dumps([name, shape]).encode())
        digest.update(values.tobytes())
    return f"{_VERSION}-{digest.hexdigest()[:32]}"


def _sample(array: Any) -> np.ndarray:
    """Up to 64 values, the first and the last among them, as little-endian float32."""
    size = int(np.prod(array.shape, dtype=np.int64))
    count = min(size, _SAMPLES)
    positions = np.arange(count, dtype=np.int64) * max(size - 1, 0) // max(count - 1, 1)
    if not count:
        values = np.zeros(0)
    elif isinstance(array, LazyArray):
        values = array.take(positions)
    else:
        # Not reshape(-1): that could copy a whole sharded array.
        listed = array if array.ndim else array.reshape(1)
        values = np.asarray(listed[np.unravel_index(positions, listed.shape)])
    # Adding zero makes -0.0 and 0.0 the same bytes.
    return np.asarray(values).astype("<f4") + np.float32(0)
