# SPDX-License-Identifier: Apache-2.0
"""A lazy matrix seen as its transpose. Knows nothing of where the matrix lies."""

import numpy as np

from prompt_tuning.checkpoints.lazy_array import LazyArray


class TransposedArray(LazyArray):
    """A matrix seen as its transpose; nothing is copied."""

    def __init__(self, name: str, source: LazyArray):
        super().__init__(name, source.shape[::-1], source.dtype)
        self._source = source

    def take(self, indices: np.ndarray) -> np.ndarray:
        column, row = np.unravel_index(indices, self.shape)
        return self._source.take(np.ravel_multi_index((row, column), self._source.shape))

    def _read(self) -> np.ndarray:
        return self._source.get().T

    def _read_part(self, index: tuple[slice, ...]) -> np.ndarray:
        return self._source.part(index[::-1]).T
