# SPDX-License-Identifier: Apache-2.0
"""SentencePiece tokenizer over whole batches; tokenizer_module.cc has the docstrings."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy import typing as npt

class ArrowArray(Protocol):
    """Strings or binary of pyarrow, polars and others."""

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]: ...

# The bytes of all texts, and where each begins and the last one ends.
Buffers: TypeAlias = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32] | npt.NDArray[np.int64]]
Texts: TypeAlias = Iterable[str | bytes] | ArrowArray | Buffers

class Tokenizer:
    def __init__(
        self,
        model: bytes,
        extra_ids: int = 0,
        reverse_extra_ids: bool = True,
        num_threads: int = 0,
        *,
        semantics: Literal["classic", "0.2.3"] = "classic",
        cache_mb: float = 16.0,
        verify_fraction: float = 0.0,
    ) -> None: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def extra_ids(self) -> int: ...
    @property
    def bos_id(self) -> int: ...
    @property
    def eos_id(self) -> int: ...
    @property
    def pad_id(self) -> int: ...
    @property
    def unk_id(self) -> int: ...
    @property
    def exact_mode(self) -> Literal["word_cache", "full_viterbi", "library"]: ...
    @property
    def exact_mode_reason(self) -> str: ...
    def encode(self, text: str | bytes) -> list[int]: ...
    def encode_with_offsets(
        self, text: str | bytes
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...
    def encode_batch(self, texts: Texts) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]: ...
    def encode_padded(
        self,
        texts: Texts,
        max_len: int,
        pad: int = 0,
        eos: int | None = 1,
    ) -> npt.NDArray[np.int32]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def decode_batch(
        self, rows: Sequence[Sequence[int]] | npt.NDArray[np.integer]
    ) -> list[str]: ...
    def decode_ragged(
        self, values: npt.NDArray[np.integer], row_splits: npt.NDArray[np.int64]
    ) -> list[str]: ...
    def id_to_piece(self, id: int) -> str: ...
    def piece_to_id(self, piece: str | bytes) -> int: ...
    def serialized_model(self) -> bytes: ...
