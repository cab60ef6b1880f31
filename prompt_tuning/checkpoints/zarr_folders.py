# SPDX-License-Identifier: Apache-2.0
"""Zarr folders in the layouts of other writers. For tests."""

from typing import Any

import numpy as np
import tensorstore as ts

from prompt_tuning.checkpoints import paths


def write_zarr(folder: str, array: np.ndarray, **metadata: Any) -> None:
    """Writes one chunk with gzip 1 and no fill value, as T5X does; `metadata` may change that."""
    settings = {"compressor": {"id": "gzip", "level": 1}, "chunks": list(array.shape)} | metadata
    spec = {
        "driver": "zarr",
        "dtype": array.dtype.name,
        "kvstore": paths.kvstore_spec(folder),
        "metadata": settings | {"shape": list(array.shape)},
    }
    ts.open(spec, create=True).result().write(array).result()
